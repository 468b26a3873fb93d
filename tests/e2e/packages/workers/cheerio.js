import * as cheerio from "cheerio/slim";

const answer = async (request) => {
const $ = cheerio.load("<ul><li class=a>1</li><li>2</li></ul>");
  $("li.a").addClass("b").attr("data-n", "1").after("<li>new</li>");
  return [$("ul").html(), $("li").map((_, each) => $(each).text()).get(), $("li:not(.a)").length];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
