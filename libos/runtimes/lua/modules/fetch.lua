-- fetch(url, options): a request of the page's own to an upstream, over what exchange.c offers.
--
-- options   method, headers (as a response has them), body (a string, or a function that gives strings and then nil),
--           redirect ("follow", "manual" or "error")
-- answer    status, headers (by lower-case name; "set-cookie" is a list), url, redirected;
--           answer:read() the next bytes, or nil at the end; answer:text() all of them; answer:json(); answer:close()
local exchange = require("web.exchange")
local json = require("web.json")

local HOPS_MAX = 20
local TEXT_MAX = 8 << 20 -- bytes of text(): as much as a request's body may have
local REDIRECTS = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}
local CREDENTIALS = {"authorization", "cookie", "proxy-authorization"} -- not for another origin (Fetch, HTTP-redirect fetch)
local OF_BODIES = {"content-encoding", "content-language", "content-location", "content-type"}

local function without(fields, names)
    local gone, kept = {}, {}
    for _, name in ipairs(names) do
        gone[name] = true
    end
    for _, field in ipairs(fields) do
        if not gone[field[1]:lower()] then
            kept[#kept + 1] = field
        end
    end
    return kept
end

-- A list of names and values; what a request says of its own length and host is the edge's.
local function fields_of(headers)
    local fields, coding = {}, false
    for name, value in pairs(headers or {}) do
        if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
            error("fetch: a name of a header field expected, got " .. tostring(name), 0)
        end
        for _, one in ipairs(type(value) == "table" and value or {value}) do
            one = tostring(one)
            if one:find("[%z\1-\8\10-\31\127]") then
                error("fetch: a value without control characters expected for " .. name, 0)
            end
            fields[#fields + 1] = {name, one}
        end
        coding = coding or name:lower() == "accept-encoding"
    end
    if not coding then
        fields[#fields + 1] = {"Accept-Encoding", "identity"} -- nothing here takes gzip apart
    end
    return without(fields, {"content-length", "host", "transfer-encoding", "connection"})
end

-- RFC 3986 section 5.2.4.
local function without_dots(path)
    local parts = {}
    for part in path:gmatch("[^/]*") do
        parts[#parts + 1] = part
    end
    local kept = {}
    for i, part in ipairs(parts) do
        if part == ".." then
            if #kept > 1 then kept[#kept] = nil end
        elseif part ~= "." then
            kept[#kept + 1] = part
        end
        if i == #parts and (part == "." or part == "..") then
            kept[#kept + 1] = ""
        end
    end
    return table.concat(kept, "/")
end

-- Where `location` leads from `base` (RFC 3986 section 5.2), without its fragment.
local function resolved(base, location)
    location = location:gsub("#.*$", "")
    local scheme, host, path = base:match("^(%a[%w+.-]*:)(//[^/?#]*)([^?#]*)")
    if location:find("^%a[%w+.-]*:") then
        return location
    elseif location:find("^//") then
        return scheme .. location
    elseif location == "" then
        return (base:gsub("#.*$", ""))
    elseif location:find("^%?") then
        return scheme .. host .. path .. location
    end
    local query = location:match("%?.*$") or ""
    local target = location:sub(1, #location - #query)
    if not target:find("^/") then
        target = (path:match("^.*/") or "/") .. target
    end
    return scheme .. host .. without_dots(target) .. query
end

local function origin_of(url)
    local scheme, host = url:lower():match("^(%a[%w+.-]*)://([^/?#]*)")
    local port = host:match(":(%d*)$") or ""
    local default = scheme == "http" and "80" or scheme == "https" and "443" or ""
    return scheme .. "://" .. host:gsub(":%d*$", "") .. ":" .. (port == "" and default or port)
end

local answer_methods = {}

function answer_methods:read()
    return self.exchange:read()
end

function answer_methods:text()
    local parts, size = {}, 0
    for piece in self.read, self do
        parts[#parts + 1], size = piece, size + #piece
        if size > TEXT_MAX then
            self:close()
            error("fetch: less than 8 MiB expected where an answer is read at once", 0)
        end
    end
    return table.concat(parts)
end

function answer_methods:json()
    return json.from_json(self:text())
end

function answer_methods:close()
    self.exchange:close()
end

local answer_meta = {__index = answer_methods, __close = answer_methods.close, __name = "answer"}

local function headers_of(list)
    local headers = {}
    for _, field in ipairs(list) do
        local name, value = field[1]:lower(), field[2]
        if name == "set-cookie" then
            headers[name] = headers[name] or {}
            table.insert(headers[name], value)
        else
            headers[name] = headers[name] and headers[name] .. ", " .. value or value
        end
    end
    return headers
end

local function send(asked, body)
    if type(body) ~= "function" then
        asked:write(body, true)
        return
    end
    for piece in body do
        if type(piece) ~= "string" then
            asked:close()
            error("fetch: a body in strings expected, got a " .. type(piece), 0)
        end
        asked:write(piece, false)
    end
    asked:write("", true)
end

local function ask(method, url, fields, body)
    local block = {}
    for _, field in ipairs(fields) do
        block[#block + 1] = field[1] .. "\0" .. field[2] .. "\0"
    end
    local asked = exchange.open(method, url, table.concat(block) .. "\0", body ~= nil)
    if body ~= nil then
        send(asked, body)
    end
    return asked
end

local function checked(url, options)
    if type(url) ~= "string" or not url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]") then
        error("fetch: a URL with http: or https: expected, got " .. tostring(url), 0)
    elseif url:find("[%c ]") then
        error("fetch: a URL without blanks and control characters expected; web.encode helps", 0)
    end
    local body, redirect = options.body, options.redirect or "follow"
    if not tostring(options.method or "GET"):find("^[%w!#$%%&'*+%-.^_`|~]+$") then
        error("fetch: a method such as GET expected, got " .. tostring(options.method), 0)
    end
    if body ~= nil and type(body) ~= "string" and type(body) ~= "function" then
        error("fetch: a string or a function expected as the body, got a " .. type(body), 0)
    elseif redirect ~= "follow" and redirect ~= "manual" and redirect ~= "error" then
        error("fetch: redirect: follow, manual or error expected, got " .. tostring(redirect), 0)
    end
    return redirect
end

return function(url, options)
    options = options or {}
    local redirect = checked(url, options)
    local method, body = (options.method or "GET"):upper(), options.body
    local fields = fields_of(options.headers)
    if body ~= nil and (method == "GET" or method == "HEAD") then
        error("fetch: no body expected with " .. method, 0)
    end
    url = url:gsub("#.*$", "")
    for hops = 0, HOPS_MAX do
        local asked = ask(method, url, fields, body)
        local status, list = asked:answer()
        local headers = headers_of(list)
        local location = REDIRECTS[status] and headers.location
        if not location or redirect == "manual" then
            local answer = {status = status, headers = headers, url = url, redirected = hops > 0, exchange = asked}
            return setmetatable(answer, answer_meta)
        end
        asked:close()
        if redirect == "error" then
            error("fetch: no redirect expected, got one to " .. location, 0)
        elseif type(body) == "function" and status ~= 303 then
            error("fetch: a body that was streamed cannot be sent again", 0)
        end
        local target = resolved(url, location)
        checked(target, {})
        if origin_of(target) ~= origin_of(url) then
            fields = without(fields, CREDENTIALS) -- they were meant for another
        end
        if (status == 303 and method ~= "HEAD") or ((status == 301 or status == 302) and method == "POST") then
            method, body, fields = "GET", nil, without(fields, OF_BODIES)
        end
        url = target
    end
    error("fetch: at most " .. HOPS_MAX .. " redirects expected", 0)
end
