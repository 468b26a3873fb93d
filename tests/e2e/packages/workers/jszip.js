import JSZip from "jszip";

const answer = async (request) => {
const zip = new JSZip();
  zip.file("a.txt", "abc", { date: new Date(0) }).folder("b").file("c.txt", "d");
  const back = await JSZip.loadAsync(await zip.generateAsync({ type: "uint8array", compression: "DEFLATE" }));
  return [Object.keys(back.files), await back.file("a.txt").async("string")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
