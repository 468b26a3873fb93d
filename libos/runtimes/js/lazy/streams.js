// The standard's algorithms, written out. The base image holds them: 3-streams.js asks for them there.
import * as streams from "web-streams-polyfill";
export default () => streams;
