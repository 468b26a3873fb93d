import ejs from "ejs";

const answer = async (request) => {
return ejs.render("<% for (const n of list) { %><%= n %>,<% } %>", { list: [1, "<"] });
};
export default { fetch: async (request) => Response.json(await answer(request)) };
