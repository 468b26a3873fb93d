import { AwsClient } from "aws4fetch";

const answer = async (request) => {
const aws = new AwsClient({ accessKeyId: "AKIA", secretAccessKey: "secret", service: "s3", region: "us-east-1" });
  const signed = await aws.sign("https://b.s3.example/a b?x=1", { method: "PUT", body: "data", aws: { datetime: "20260102T030405Z" } });
  return [signed.headers.get("authorization"), signed.url, (await aws.sign("https://b.s3.example/a", { aws: { signQuery: true, datetime: "20260102T030405Z" } })).url];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
