// What a page looks like to those who read it: every text with its contrast, every image with its name, headings, tables, width.
for (const details of document.querySelectorAll("details")) details.open = true;

const channels = (color) => {
  const numbers = color.match(/[\d.]+/g).map(Number);
  return { rgb: numbers.slice(0, 3), alpha: numbers.length > 3 ? numbers[3] : 1 };
};
const over = (front, back) => front.rgb.map((value, index) => value * front.alpha + back[index] * (1 - front.alpha));
const luminance = (rgb) => {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const isDrawn = (element) => element instanceof SVGElement;
const isText = (element) => ["text", "tspan"].includes(element.localName);

// What lies behind a point of an element, from the front to the back.
const behind = (element, x, y) => {
  const all = document.elementsFromPoint(x, y);
  const from = all.findIndex((one) => one === element || element.contains(one));
  if (from < 0) return null;
  let layers = [];
  for (const one of all.slice(from)) {
    const style = getComputedStyle(one);
    if (isDrawn(one) && isText(one)) continue;
    const paint = isDrawn(one) && one.localName !== "svg" ? style.fill : style.backgroundColor;
    if (paint === "none") continue;
    const layer = channels(paint);
    if (layer.alpha > 0) layers.push(layer);
    if (layer.alpha === 1) break;
  }
  return layers.reverse().reduce((back, layer) => over(layer, back), [255, 255, 255]);
};

// What is there for screen readers alone: it is clipped away.
const isClipped = (element) => {
  for (let one = element; one; one = one.parentElement) if (getComputedStyle(one).clipPath !== "none") return true;
  return false;
};

const texts = [];
const covered = [];
const nodes = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const { data, parentElement: element } = walker.currentNode;
  if (data.trim() && !["SCRIPT", "STYLE"].includes(element.tagName) && element.localName !== "title") nodes.push(walker.currentNode);
}
// Of a very long page every so many-th text is enough: it repeats itself.
const stride = Math.ceil(nodes.length / 900);
for (const node of nodes.filter((_, index) => index % stride === 0)) {
  const element = node.parentElement;
  if (element.closest(".skip") || !element.checkVisibility() || isClipped(element)) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  let [box] = range.getClientRects();
  if (!box || box.width < 1 || box.height < 1) continue;
  if (box.top < 0 || box.bottom > innerHeight) {
    scrollTo({ top: scrollY + box.top - innerHeight / 2, behavior: "instant" });
    [box] = range.getClientRects();
  }
  const back = behind(element, box.left + Math.min(3, box.width / 2), box.top + box.height / 2);
  const words = node.data.trim().slice(0, 40);
  if (!back) { covered.push(words); continue; }
  const style = getComputedStyle(element);
  const ink = channels(isDrawn(element) ? style.fill : style.color);
  texts.push({ words, contrast: contrast(over(ink, back), back) });
}
scrollTo(0, 0);

const named = (element) => {
  const by = element.getAttribute("aria-labelledby");
  const words = by ? document.getElementById(by)?.textContent : element.getAttribute("aria-label") ?? element.getAttribute("alt");
  return (words ?? "").trim() !== "";
};
const images = [...document.querySelectorAll("img, svg")].filter((image) => image.parentElement.closest("svg") === null);
const isSilent = (image) => image.closest("[aria-hidden=true]") !== null;
return {
  overflow: Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - innerWidth,
  texts: texts.length,
  faint: texts.filter((text) => text.contrast < 4.5),
  covered,
  images: images.filter((image) => !isSilent(image)).length,
  nameless: images.filter((image) => !isSilent(image) && !(image.getAttribute("role") === "img" && named(image))).length,
  headings: [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((heading) => Number(heading.tagName[1])),
  tables: document.querySelectorAll("table").length,
  odd: [...document.querySelectorAll("table")].filter((table) => !named(table) || [...table.querySelectorAll("th")].some((cell) => !cell.scope)).length,
  landmarks: ["header", "nav", "main", "footer"].filter((name) => document.querySelectorAll(name).length === 1),
  ground: getComputedStyle(document.body).backgroundColor,
};
