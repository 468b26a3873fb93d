// The least there is: a page, and how often this machine has answered.
let requests = 0;

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    return new Response(`hello from ${pathname}, request ${++requests}\n`);
  },
};
