// node:url, node:querystring and node:punycode: npm's packages for Node's old functions, and the platform's classes.
import punycode from "punycode";
import { parse, format as oldFormat, resolve, resolveObject, Url } from "url";
import { parse as parseQuery, stringify } from "querystring-es3";

const format = (address, { auth = true, fragment = true, search = true } = {}) => {
  if (!(address instanceof URL)) return oldFormat(address);
  const copy = new URL(address);
  if (!auth) copy.username = copy.password = "";
  if (!fragment) copy.hash = "";
  if (!search) copy.search = "";
  return copy.href;
};
const fileURLToPath = (address) => {
  const { protocol, pathname } = new URL(address);
  if (protocol !== "file:") throw Object.assign(new TypeError("The URL must be of scheme file"), { code: "ERR_INVALID_URL_SCHEME" });
  return decodeURIComponent(pathname);
};
const pathToFileURL = (path) => new URL(`file://${encodeURI(String(path)).replace(/[?#]/g, encodeURIComponent)}`);
const hostOf = (text) => { try { return new URL(`http://${text}`).hostname; } catch { return ""; } };
const domainToUnicode = (domain) => punycode.toUnicode(hostOf(domain));
const urlToHttpOptions = ({ protocol, hostname, hash, search, pathname, href, port, username, password }) => ({
  protocol, hostname: hostname.replace(/^\[|\]$/g, ""), hash, search, pathname, path: `${pathname}${search}`, href,
  ...(port && { port: Number(port) }), ...((username || password) && { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` }),
});
const { URL, URLSearchParams } = globalThis;
const url = { URL, URLSearchParams, Url, parse, format, resolve, resolveObject, fileURLToPath, pathToFileURL, domainToASCII: hostOf, domainToUnicode, urlToHttpOptions };
const querystring = { parse: parseQuery, stringify, decode: parseQuery, encode: stringify, escape: encodeURIComponent, unescape: decodeURIComponent };
export default () => ({ url, querystring, punycode });
