// call-bind/callBound: a method of a global by its path, as a function of what it is a method of.
module.exports = (path) => Function.prototype.call.bind(path.split(".").reduce((object, name) => object[name], globalThis));
