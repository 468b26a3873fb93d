-- The module `web`: what pages need and Lua's own libraries do not have.
local form = require("web.form")
local web = {form = form} -- form(text): the fields of a submitted form, or of a query, as a table

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

-- Text as HTML text or attribute value.
function web.escape(text)
    return (tostring(text):gsub("[&<>\"']", entities))
end

-- Text as a part of a URL.
function web.encode(text)
    return (tostring(text):gsub("[^%w%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

-- A template with {{expression}} for escaped and {{{expression}}} for plain values: names of `values`, dots allowed.
function web.render(template, values)
    local function find(name)
        local value = values
        for part in name:gmatch("[^%.%s]+") do
            value = type(value) == "table" and value[part] or nil
        end
        return value == nil and "" or value
    end
    local plain = template:gsub("{{{([^{}]*)}}}", function(name) return (tostring(find(name)):gsub("{{", "{\0{")) end)
    local filled = plain:gsub("{{([^{}]*)}}", function(name) return (web.escape(find(name)):gsub("{{", "{\0{")) end)
    return (filled:gsub("{%z{", "{{"))
end

-- All fields of a submitted form, or of a query, in their order and several of a name: {{name = "a", value = "1"}, ...}.
function web.fields(text)
    local fields = {}
    for part in text:gmatch("[^&]+") do
        local name, value = next(form(part))
        fields[#fields + 1] = {name = name, value = value}
    end
    return fields
end

-- The cookies of a request's header field as a table; the first of a name counts.
function web.cookies(text)
    local cookies = {}
    for name, value in (text or ""):gmatch("([^=;%s]+)=([^;]*)") do
        cookies[name] = cookies[name] or value:match('^%s*"?(.-)"?%s*$')
    end
    return cookies
end

for name, member in pairs(require("web.json")) do
    web[name] = member
end
web.fetch = require("web.fetch")

return web
