-- A page and a small API. What stands outside of the function runs once, while the image is built.
local web = require "web"

local file <close> = assert(io.open("/page.html"))
local template = file:read("a")
local greetings = {en = "Hello", fr = "Bonjour", de = "Guten Tag"}

return function(request)
    if request.path == "/" then
        return web.render(template, {greeting = greetings.en, name = request.params.name or os.getenv("NAME") or "world"})
    elseif request.path == "/greetings" then
        return {headers = {["Content-Type"] = "application/json"}, body = web.json(greetings)}
    end
    return {status = 404, headers = {["Content-Type"] = "text/plain"}, body = "not found\n"}
end
