-- The moon over a month: / shows this one, /?month=2027-03 another, /moon.json today's phase.
local web = require "web"

local file <close> = assert(io.open("/page.html")) -- read once, while the image is built
local template = file:read("a")

local SYNODIC = 29.530588853 -- days from one new moon to the next, on average
local NEW_MOON = 947182440 -- 2000-01-06 18:14 UTC, a new moon (Meeus, Astronomical Algorithms, chapter 49)
local DAY = 86400
local NAMES = {"new moon", "waxing crescent", "first quarter", "waxing gibbous",
               "full moon", "waning gibbous", "last quarter", "waning crescent"}

-- Part of the way from one new moon to the next, 0 to 1; good to about half a day.
local function phase(time)
    return (time - NEW_MOON) / DAY / SYNODIC % 1
end

local function name_of(part)
    return NAMES[math.floor(part * 8 + 0.5) % 8 + 1]
end

-- The lit part as an SVG path: half a circle, and half an ellipse that bulges into it or away from it.
local function drawing(part)
    local bulge = math.cos(2 * math.pi * part)
    local waxing = part < 0.5
    local rim, edge = waxing and 1 or 0, (bulge > 0) == waxing and 0 or 1
    return ('<svg viewBox="-11 -11 22 22"><circle r="10"/><path d="M0-10A10 10 0 0 %d 0 10A%.2f 10 0 0 %d 0-10"/></svg>')
        :format(rim, math.abs(bulge) * 10, edge)
end

local function days(year, month)
    local cells = {}
    local first = os.time {year = year, month = month, day = 1, hour = 12}
    local blank = (os.date("*t", first).wday + 5) % 7 -- weeks begin on Monday
    for _ = 1, blank do
        cells[#cells + 1] = "<li class=\"blank\">"
    end
    local day = 1
    while true do
        local noon = os.time {year = year, month = month, day = day, hour = 12}
        if os.date("*t", noon).month ~= month then
            break
        end
        local today = os.date("%F", noon) == os.date("%F")
        cells[#cells + 1] = ('<li%s title="%s">%s<b>%d</b>'):format(
            today and ' class="today"' or "", name_of(phase(noon)), drawing(phase(noon)), day)
        day = day + 1
    end
    return table.concat(cells, "\n")
end

local function page(request)
    local year, month = (request.params.month or os.date("%Y-%m")):match("^(%d%d%d%d)%-(%d%d)$")
    year, month = tonumber(year), tonumber(month)
    if not year or year < 1900 or year > 2100 or month < 1 or month > 12 then
        return {status = 400, body = "a month such as 2027-03 expected\n", headers = {["Content-Type"] = "text/plain"}}
    end
    local now = phase(os.time())
    return web.render(template, {
        title = os.date("%B %Y", os.time {year = year, month = month, day = 1}),
        days = days(year, month),
        before = os.date("%Y-%m", os.time {year = year, month = month - 1, day = 1}),
        after = os.date("%Y-%m", os.time {year = year, month = month + 1, day = 1}),
        now = name_of(now),
        moon = drawing(now),
    })
end

return function(request)
    if request.path == "/" or request.path == "" then
        return page(request)
    elseif request.path == "/moon.json" then
        local now = phase(os.time())
        return {headers = {["Content-Type"] = "application/json"}, body = web.json {phase = now, name = name_of(now)}}
    end
    return {status = 404, body = "try / or /moon.json\n", headers = {["Content-Type"] = "text/plain"}}
end
