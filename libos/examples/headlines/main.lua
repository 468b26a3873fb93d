-- The titles of a JSON Feed (jsonfeed.org, version 1.1) as a page; /feed.json passes the feed on as it comes.
local web = require("web")

local PAGE = [[<!doctype html><html lang="en"><meta charset="utf-8"><title>{{title}}</title>
<h1>{{title}}</h1><ul>{{{items}}}</ul>]]
local ITEM = '<li><a href="{{url}}">{{title}}</a></li>'

local function page(feed)
    local items = {}
    for i, item in ipairs(feed.items) do
        items[i] = web.render(ITEM, item)
    end
    return web.render(PAGE, {title = feed.title, items = table.concat(items, "\n")})
end

return function(request)
    local answer = web.fetch(os.getenv("FEED"), {headers = {Accept = "application/feed+json"}})
    if answer.status ~= 200 then
        return {status = 502, headers = {["Content-Type"] = "text/plain"}, body = "the feed said " .. answer.status .. "\n"}
    elseif request.path == "/feed.json" then
        return {
            headers = {["Content-Type"] = answer.headers["content-type"]},
            body = function() return answer:read() end,
        }
    end
    local known, feed = pcall(answer.json, answer)
    if not known then
        print("no feed: " .. feed)
        return {status = 502, headers = {["Content-Type"] = "text/plain"}, body = "no JSON Feed there\n"}
    end
    return page(feed)
end
