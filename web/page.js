/* The page of capp serve: texts are classified while they are edited. The model gives the log-probabilities of each class's
 * tokens; scores, priors and probabilities are computed here, so a prior takes effect without asking again. */

const EXAMPLE = {
  texts: "I was charged twice for the same order\nThe app closes as soon as I open it\nHow do I change my address?",
  classes: "a payment\na technical problem\na question about the account",
  template: "Message: {text}\nThe message is about",
  aggregate: "mean", chat: false, multi_label: false, model: "", prior: [],
};
const FIELDS = ["texts", "classes", "template", "aggregate", "chat", "multi_label", "model"];
const WAIT = 250; // milliseconds after the last key

const $ = (id) => document.getElementById(id);
let results = []; // of the latest request: {text, classes: [{name, tokens}]}
let asked = null; // what it was asked for
let prior = []; // a weight for each class
let running = null; // AbortController
let timer = 0;

// ---- What is edited ------------------------------------------------------------------------------------------------

const lines = (text) => text.split("\n").filter((line) => line.trim());
const valueOf = (input) => input.type === "checkbox" ? input.checked : input.value;

function state() {
  return { ...Object.fromEntries(FIELDS.map((name) => [name, valueOf($(name))])), prior };
}

function show(given) {
  for (const name of FIELDS) {
    const input = $(name);
    if (input.type === "checkbox") input.checked = Boolean(given[name]);
    else if (name !== "model" || [...input.options].some((option) => option.value === given.model)) input.value = given[name];
  }
  prior = Array.isArray(given.prior) ? given.prior.filter(Number.isFinite) : [];
}

const encode = (value) => btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value)))).replace(/=+$/, "");
const decode = (text) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))));

function fromLink() {
  try {
    return location.hash.length > 1 ? { ...EXAMPLE, ...decode(location.hash.slice(1)) } : EXAMPLE;
  } catch {
    return EXAMPLE;
  }
}

// ---- Numbers -------------------------------------------------------------------------------------------------------

/** The logarithm of a class's likelihood: the aggregate of its tokens' log-probabilities. */
function score({ name, tokens }, aggregate) {
  const sum = tokens.reduce((total, token) => total + token.logprob, 0);
  if (aggregate === "sum") return sum;
  return sum / (aggregate === "bytes" ? new TextEncoder().encode(name).length : tokens.length);
}

/** The probabilities of the classes of a result under the prior. */
function probabilities(result) {
  const total = weights().reduce((sum, weight) => sum + weight, 0);
  const scores = result.classes.map((each, i) => score(each, asked.aggregate) +
    (asked.multi_label ? 0 : Math.log(weights()[i] / total)));
  if (asked.multi_label) return scores.map(Math.exp);
  const most = Math.max(...scores);
  const shares = scores.map((each) => Math.exp(each - most));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}

const weights = () => asked.classes.map((_, i) => prior[i] ?? 50).map((weight, _, all) => all.every((each) => !each) ? 1 : weight);

// ---- Results -------------------------------------------------------------------------------------------------------

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

function makeResult(result, index) {
  const item = make("li");
  item.append(make("p", "text", result.text));
  const bars = make("div", "bars");
  result.classes.forEach((each, i) => {
    const row = make("div", "class");
    row.tabIndex = 0;
    row.dataset.result = index;
    row.dataset.class = i;
    row.setAttribute("role", "group");
    const track = make("div", "track");
    track.append(make("div", "bar"));
    const name = make("span", "", each.name);
    name.title = each.name;
    row.append(name, track, make("span", "number"));
    bars.append(row);
  });
  item.append(bars);
  $("results").append(item);
}

function drawResult(result, index) {
  const values = probabilities(result);
  const best = values.indexOf(Math.max(...values));
  const rows = $("results").children[index].querySelectorAll(".class");
  values.forEach((value, i) => {
    const percent = `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
    rows[i].classList.toggle("best", i === best);
    rows[i].querySelector(".bar").style.width = `${100 * value}%`;
    rows[i].querySelector(".number").textContent = percent;
    rows[i].setAttribute("aria-label", `${result.classes[i].name}: ${percent}`);
  });
}

function drawSliders() {
  const names = lines($("classes").value);
  const sliders = $("sliders");
  if ([...sliders.querySelectorAll("label")].map((label) => label.textContent).join("\n") !== names.join("\n")) {
    sliders.replaceChildren(...names.flatMap((name, i) => {
      const label = make("label", "", name), slider = make("input"), output = make("output");
      Object.assign(slider, { type: "range", min: 0, max: 100, value: prior[i] ?? 50, id: `prior-${i}` });
      label.htmlFor = slider.id;
      label.title = name;
      slider.addEventListener("input", () => {
        prior = names.map((_, k) => Number($(`prior-${k}`).value));
        drawShares(names.length);
        if (asked) results.forEach(drawResult);
      });
      return [label, slider, output];
    }));
  }
  drawShares(names.length);
}

function drawShares(n) {
  const values = Array.from({ length: n }, (_, i) => Number($(`prior-${i}`).value));
  const total = values.reduce((a, b) => a + b, 0);
  $("sliders").querySelectorAll("output").forEach((output, i) => {
    output.textContent = `${Math.round(100 * (total ? values[i] / total : 1 / n))} %`;
  });
}

function showTokens(row) {
  const { tokens } = results[row.dataset.result].classes[row.dataset.class];
  const table = make("table");
  for (const { token, logprob } of tokens) {
    const line = table.insertRow();
    line.insertCell().textContent = JSON.stringify(token);
    line.insertCell().textContent = logprob.toFixed(3);
  }
  const tip = $("tokens");
  tip.replaceChildren(make("div", "", "log-probability of each token"), table);
  tip.hidden = false;
  const place = row.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(place.left + scrollX, scrollX + innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${place.bottom + scrollY + 6}px`;
  row.setAttribute("aria-describedby", "tokens");
}

function hideTokens() {
  $("tokens").hidden = true;
}

function tell(text, failed = false) {
  $("status").textContent = text;
  $("status").classList.toggle("failed", failed);
}

// ---- Requests ------------------------------------------------------------------------------------------------------

function headers() {
  const key = $("key").value;
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function fail(answer) {
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error?.message ?? `the server answers ${answer.status}`);
}

/** The lines of an answer as they arrive. */
async function* linesOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

function receive(line, texts) {
  const row = JSON.parse(line);
  if (row.error) throw new Error(row.error.message);
  const result = { text: texts[row.index], classes: asked.classes.map((name, i) => ({ name, tokens: row.logprobs[i] })) };
  if (!results.length) $("results").replaceChildren();
  results.push(result);
  makeResult(result, results.length - 1);
  drawResult(result, results.length - 1);
}

async function classify() {
  clearTimeout(timer);
  running?.abort();
  const mine = running = new AbortController();
  const given = state();
  const texts = lines(given.texts), classes = lines(given.classes);
  drawSliders();
  if (!texts.length || classes.length < (given.multi_label ? 1 : 2))
    return tell(`Write a text and at least ${given.multi_label ? "one class" : "two classes"}.`);
  const start = performance.now();
  const body = { texts, classes, template: given.template, aggregate: given.aggregate, chat: given.chat,
    multi_label: given.multi_label, stream: true, logprobs: true, ...(given.model ? { model: given.model } : {}) };
  tell("…");
  try {
    const answer = await fetch("v1/classify", { method: "POST", headers: headers(), body: JSON.stringify(body), signal: mine.signal });
    if (!answer.ok) await fail(answer);
    results = [];
    asked = { ...given, classes };
    hideTokens();
    let first = 0;
    for await (const line of linesOf(answer)) {
      if (mine !== running) return;
      receive(line, texts);
      first ||= performance.now() - start;
      tell(`${results.length} of ${texts.length}`);
    }
    const all = performance.now() - start;
    tell(`${texts.length} ${texts.length === 1 ? "text" : "texts"} in ${all.toFixed(0)} ms; the first after ${first.toFixed(0)} ms`);
  } catch (error) {
    if (error.name !== "AbortError" && mine === running) tell(error.message, true);
  }
}

async function listModels() {
  try {
    const answer = await fetch("v1/models", { headers: headers() });
    if (!answer.ok) await fail(answer);
    const { data } = await answer.json();
    const before = $("model").value;
    $("model").replaceChildren(...data.map(({ id }) => new Option(id)));
    if (data.some(({ id }) => id === before)) $("model").value = before;
  } catch (error) {
    tell(error.message, true);
  }
}

// ---- Link and export -----------------------------------------------------------------------------------------------

async function share() {
  history.replaceState(null, "", `#${encode(state())}`);
  try {
    await navigator.clipboard.writeText(location.href);
    tell("The link is copied. It has the texts and classes, not the key.");
  } catch {
    tell("The link is in the address bar.");
  }
}

function exportResults() {
  const rows = results.map((result) => JSON.stringify({ text: result.text,
    probabilities: Object.fromEntries(probabilities(result).map((value, i) => [asked.classes[i], value])) }));
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([rows.map((row) => `${row}\n`).join("")], { type: "application/jsonl" }));
  link.download = "capp.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- Events --------------------------------------------------------------------------------------------------------

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  classify();
});
$("form").addEventListener("input", (event) => {
  if (event.target.type === "range") return;
  clearTimeout(timer);
  timer = setTimeout(classify, WAIT);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) classify();
  if (event.key === "Escape") {
    running?.abort();
    hideTokens();
  }
});
for (const [begin, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  $("results").addEventListener(begin, (event) => {
    const row = event.target.closest(".class");
    if (row) showTokens(row);
  });
  $("results").addEventListener(end, hideTokens);
}
$("share").addEventListener("click", share);
$("export").addEventListener("click", exportResults);
$("key").addEventListener("change", async () => {
  sessionStorage.setItem("key", $("key").value);
  await listModels();
  classify();
});
$("model").addEventListener("change", classify);

$("key").value = sessionStorage.getItem("key") ?? "";
await listModels();
show(fromLink());
classify();
