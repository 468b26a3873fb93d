// abort-controller: the platform's own.
module.exports = { AbortController, AbortSignal };
