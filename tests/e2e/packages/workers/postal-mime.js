import PostalMime from "postal-mime";

const answer = async (request) => {
const mail = await PostalMime.parse("From: =?utf-8?Q?K=C3=A5ri?= <k@a.example>\r\nSubject: =?iso-8859-1?Q?=E6r?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E5 b\r\n");
  return [mail.from, mail.subject, mail.text];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
