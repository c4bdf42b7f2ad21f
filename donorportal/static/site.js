// Niceties only: every page and form works without this file.

// One click, one request. A page that comes back from the browser's cache is usable again.
addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) return event.preventDefault();
  event.target.dataset.sent = "yes";
  event.submitter?.setAttribute("aria-disabled", "true");
});
addEventListener("pageshow", () => {
  document.querySelectorAll("[data-sent]").forEach((sent) => delete sent.dataset.sent);
  document.querySelectorAll("[aria-disabled=true]").forEach((b) => b.removeAttribute("aria-disabled"));
});

const form = document.querySelector("form.give");
if (form) {
  const button = form.querySelector("button.primary");
  const label = button.querySelector(".stated");
  const typed = form.elements.amount;
  const tiles = [...form.querySelectorAll("[name=tile]")];

  // Choosing another currency shows its amounts at once; the button for it is not needed then.
  const currency = document.getElementById("currency");
  const switcher = document.getElementById("switch");
  document.querySelector("button[form=switch]").hidden = true;
  const kept = ["email", "name", "tribute_name"];
  // A browser may refuse to store anything; then these three are typed again.
  const storing = (act) => {
    try {
      return act(sessionStorage);
    } catch {
      return null;
    }
  };
  currency.addEventListener("change", () => {
    switcher.elements.frequency.value = form.elements.frequency.value;
    switcher.elements.amount.value = typed.value.replace(",", ".");
    // Names and addresses must not travel in a link; they wait in this tab for the next page.
    const texts = kept.map((name) => form.elements[name].value);
    storing((tab) => tab.setItem("typed", JSON.stringify(texts)));
    switcher.requestSubmit();
  });
  const waiting = JSON.parse(storing((tab) => tab.getItem("typed")) ?? "[]");
  waiting.forEach((text, index) => (form.elements[kept[index]].value ||= text));
  storing((tab) => tab.removeItem("typed"));

  const written = () => {
    const text = typed.value.trim();
    if (!text) return tiles.find((tile) => tile.checked)?.parentElement.textContent.trim() ?? "";
    if (!/^\d{1,7}([.,]\d{1,2})?$/.test(text)) return "";
    return new Intl.NumberFormat(document.documentElement.lang, {
      style: "currency",
      currency: form.dataset.currency,
      trailingZeroDisplay: "stripIfInteger",
    }).format(Number(text.replace(",", ".")));
  };
  const describe = () => {
    const often = form.elements.frequency.value === "monthly" ? " every month" : "";
    const fee = form.elements.cover_fees.checked ? " plus the fee" : "";
    const amount = written();
    label.textContent = amount ? `Give ${amount}${fee}${often}` : `Give${often}`;
  };
  tiles.forEach((tile) => tile.addEventListener("change", () => (typed.value = "")));
  typed.addEventListener("input", () => tiles.forEach((tile) => (tile.checked &&= !typed.value)));
  button.querySelector(".changed").remove();
  label.className = "";
  form.addEventListener("input", describe);
  form.addEventListener("change", describe);
  // Browsers put choices back after a reload; the button must not name the earlier ones.
  addEventListener("pageshow", () => {
    if (form.querySelector("input:checked:not([checked])") || typed.value !== typed.defaultValue) describe();
  });

  // A closed fold says what was chosen inside it.
  form.querySelectorAll("details").forEach((fold) => {
    fold.addEventListener("change", () => {
      const box = fold.querySelector("[type=checkbox]");
      const radio = fold.querySelector("[type=radio]:checked");
      const name = radio?.nextElementSibling.firstChild.textContent;
      fold.querySelector(".state").textContent = box ? (box.checked ? "Yes" : "No") : name;
    });
  });
}
