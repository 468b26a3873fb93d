// safe-buffer: Buffer has been safe for long.
module.exports = require("buffer");
