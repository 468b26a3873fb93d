import sanitize from "sanitize-html";

const answer = async (request) => {
return sanitize("<p onclick=x>a<script>b</script><a href='javascript:c'>d</a><img src=e></p>");
};
export default { fetch: async (request) => Response.json(await answer(request)) };
