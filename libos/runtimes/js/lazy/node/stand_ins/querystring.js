// qs: of it url takes what querystring has too.
module.exports = require("querystring-es3");
