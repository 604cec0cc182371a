// Filters, copying and tips of the report. The page reads whole without it.
for (const select of document.querySelectorAll('select')) {
  const parts = document.getElementById(select.dataset.of).querySelectorAll('[data-part]');
  const show = () => parts.forEach(part => { part.hidden = part.dataset.part !== select.value; });
  select.addEventListener('change', show);
  show();
}
for (const button of document.querySelectorAll('button')) {
  button.addEventListener('click', async () => {
    const code = button.parentElement.querySelector('code');
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand('copy');
    }
    const said = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}
const old = document.getElementById('old');
const days = Math.floor((Date.now() - Date.parse(old.dataset.publishedAt)) / 864e5);
if (days >= 2) {
  old.textContent = old.textContent.replace('{n}', days);
  old.hidden = false;
}
const tip = document.getElementById('tip');
document.addEventListener('mousemove', event => {
  const mark = event.target.closest('svg [aria-label][role="graphics-symbol"]');
  const said = mark && mark.getAttribute('aria-label');
  tip.hidden = !said;
  if (said) {
    tip.textContent = said;
    tip.style.left = Math.min(event.clientX + 12, innerWidth - 220) + 'px';
    tip.style.top = event.clientY + 14 + 'px';
  }
});
