// Opens a report page in headless Chromium, uses it, and prints what was found as JSON.
// Usage: node page_in_browser.mjs MODULES CHROMIUM PAGE [FOLDER of screenshots]
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, executablePath, file, folder] = process.argv.slice(2);
const { chromium } = createRequire(join(modules, "x.js"))("playwright-core");
const axe = readFileSync(join(modules, "axe-core", "axe.min.js"), "utf8");
const address = pathToFileURL(file).href;
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args });
const found = { console: [], requests: [], dialogs: [], views: {}, sliders: {} };

async function opened(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => found.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => found.console.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => { found.dialogs.push(dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => { if (request.url() !== address) found.requests.push(request.url()); });
  await page.goto(address);
  return page;
}

// Everything of every chart that a slider may move.
const state = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll(".steered .chart")].map((chart) => [
  chart.id,
  [...chart.querySelectorAll(".cross, .dot, .value")].map((e) => e.textContent + e.getAttribute("transform") + e.getAttribute("visibility")).join("|"),
])));

async function viewed(name, options) {
  const page = await opened(options);
  const size = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  // Evaluated by the debugger, which no policy of the page binds.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  found.views[name] = {
    size,
    back: await page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    violations: violations.map((v) => `${v.impact} ${v.id}: ${v.nodes[0].html.slice(0, 200)}`),
  };
  if (folder) {
    const middle = (slider) => { slider.value = Math.round(slider.max * 0.55); slider.dispatchEvent(new Event("input")); };
    for (const slider of await page.$$("input[type=range]")) await slider.evaluate(middle);
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  }
  return page;
}

const desktop = { viewport: { width: 1280, height: 900 }, colorScheme: "light" };
const page = await viewed("desktop", desktop);

// By keyboard alone: skip link, sliders, legend, sorting.
await page.evaluate(() => scrollTo(0, 0));
await page.keyboard.press("Tab");
found.first = await page.evaluate(() => document.activeElement.className);
await page.keyboard.press("Enter");
found.skipped = await page.evaluate(() => document.activeElement.id || location.hash);
for (const slider of await page.$$("input[type=range]")) {
  const name = await slider.getAttribute("id");
  await slider.focus();
  await page.keyboard.press("Home");
  const before = await state(page);
  const said = await slider.getAttribute("aria-valuetext");
  const moved = {};
  for (let step = 0; step < 5; step += 1) {
    await page.keyboard.press("ArrowRight");
    for (const [chart, text] of Object.entries(await state(page))) if (text !== before[chart]) moved[chart] = true;
  }
  const own = await slider.evaluate((s) => [...s.closest(".steered").querySelectorAll(".chart")].map((chart) => chart.id));
  await page.keyboard.press("End");
  found.sliders[name] = { own, moved: Object.keys(moved), said, end: await slider.getAttribute("aria-valuetext") };
}
const entry = page.locator(".legend button").first();
await entry.focus();
await page.keyboard.press("Space");
found.hidden = await page.locator("[data-line='0']").first().evaluate((e) => getComputedStyle(e).display);
await page.keyboard.press("Space");
found.shown = await page.locator("[data-line='0']").first().evaluate((e) => getComputedStyle(e).display);
const play = page.locator(".play").first();
await play.press("Enter");
await page.waitForTimeout(400);
found.playing = await play.textContent();
await play.press("Enter");
found.paused = await play.textContent();

// By mouse: the slider follows the pointer in a chart over time.
const chart = page.locator(".chart svg[role=img]").first();
await chart.scrollIntoViewIfNeeded();
const box = await chart.boundingBox();
await page.mouse.move(box.x + box.width * 0.2, box.y + box.height / 2);
const left = await page.locator("input[type=range]").first().inputValue();
await page.mouse.move(box.x + box.width * 0.97, box.y + box.height / 2);
found.pointer = [Number(left), Number(await page.locator("input[type=range]").first().inputValue())];

// The table that sorts, and the box that finds rows.
found.sorted = [];
const heads = page.locator("table[data-sortable] thead th");
for (let column = 0; column < (await heads.count()); column += 1) {
  for (let turn = 0; turn < 2; turn += 1) {
    await heads.nth(column).locator("button").press("Enter");
    const cells = await page.$$eval("table[data-sortable] tbody tr",
      (rows, at) => rows.map((row) => row.cells[at].dataset.order ?? row.cells[at].textContent), column);
    found.sorted.push([await heads.nth(column).textContent(), await heads.nth(column).getAttribute("aria-sort"), cells]);
  }
}
const finder = page.locator(".find input");
if (await finder.count()) {
  await finder.fill("GOOD");
  found.rows = await page.locator("table[data-sortable] tbody tr:visible").count();
}

// In print nothing stays dark, and what cannot be used on paper goes.
const dark = await viewed("dark", { ...desktop, colorScheme: "dark" });
await dark.emulateMedia({ media: "print", colorScheme: "dark" });
found.print = await dark.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector("nav")).display]);
if (folder) await dark.pdf({ path: join(folder, "print.pdf"), format: "A4" });
await viewed("phone", { viewport: { width: 375, height: 800 }, isMobile: true, hasTouch: true });

const quiet = await opened({ ...desktop, javaScriptEnabled: false });
found.without = [await quiet.locator(".bar").first().isVisible(), await quiet.locator(".chart .value").first().textContent()];
await browser.close();
console.log(JSON.stringify(found));
