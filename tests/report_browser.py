"""report_browser.py PAGE FOLDER CHROMIUM: opens a report of capp evaluate in headless Chromium without a network, saves
screenshots, prints what it saw as JSON. tests/test_report.py runs it in an environment with Playwright."""
import json
import sys

from playwright.sync_api import sync_playwright

TIP = "what => getComputedStyle(eval(what), '::after').content"  # what a token shows
page_path, folder, chromium = sys.argv[1:]
seen = {"console": [], "requests": [], "wide": {}}
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for scheme in "light", "dark":
        for width in 1280, 390:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
            page = context.new_page()
            page.on("console", lambda message: seen["console"].append(message.text))
            page.on("pageerror", lambda error: seen["console"].append(str(error)))
            page.on("request", lambda request: seen["requests"].append(request.url))
            page.goto(f"file://{page_path}")
            seen["wide"][f"{scheme}-{width}"] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            seen["plots"] = page.locator("svg").count()
            seen["bars"] = page.locator("svg .bar").count()
            seen[f"background-{scheme}"] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            page.screenshot(path=f"{folder}/{scheme}-{width}.png", full_page=True)
            if width == 390:
                for _ in range(12):  # tables scroll and prompts open by keyboard
                    page.keyboard.press("Tab")
                    if page.evaluate("document.activeElement.tagName") == "SUMMARY":
                        break
                page.keyboard.press("Enter")
                seen["opened"] = page.locator("details[open] pre").inner_text()
                page.keyboard.press("Tab")  # the first token of the row
                seen["focused"] = page.evaluate(TIP, "document.activeElement")
                seen["token"] = page.evaluate("document.activeElement.className")
                page.screenshot(path=f"{folder}/{scheme}-{width}-token.png")
            else:
                page.locator("details summary").last.click()
                page.locator("details[open] .k").first.hover()
                seen["hovered"] = page.evaluate(TIP, "document.querySelector('details[open] .k')")
                page.screenshot(path=f"{folder}/{scheme}-{width}-token.png")
            context.close()
    browser.close()
print(json.dumps(seen))
