// MIME types, parsed and written back (the MIME Sniffing Standard, section 4).
import MIMEType from "whatwg-mimetype/lib/mime-type.js";
export default () => ({ parse: (text) => MIMEType.parse(text) });
