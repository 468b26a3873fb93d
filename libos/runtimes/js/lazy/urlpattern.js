import { URLPattern } from "urlpattern-polyfill/urlpattern";
export default () => ({ URLPattern });
