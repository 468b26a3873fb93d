// The URL parser and serialiser, for what url.c does not know to be plain. 2-url.js has the classes.
import machine from "whatwg-url/lib/url-state-machine.js";
import { load } from "tr46";
export default (share) => {
  load(() => share.part("idna"));
  return machine;
};
