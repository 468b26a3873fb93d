// Names of hosts that are not ASCII, or claim to stand for such (UTS 46).
import idna from "tr46";
export default () => idna;
