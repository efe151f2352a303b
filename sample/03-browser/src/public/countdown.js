const element = document.getElementById('countdown');
const timeLeft = document.getElementById('time-left');
const announcement = document.getElementById('extended');
const ending = document.getElementById('ending');

/** Offers to stay signed in from here on, or from the half of a shorter session: from there any request renews it. */
const WARN_SECONDS = 5 * 60;
const DAY_SECONDS = 24 * 60 * 60;
const SHOW_EXTENDED_MS = 4000;
/** The time that a response may take on its way. Without a renewal, the end may appear this much later or earlier. */
const TOLERANCE_MS = 2000;

let endsAt = null;
let longest = 0;
let onEnd = () => {};

/** @param {() => void} listener is called once when the time is up */
export function whenItEnds(listener) {
  onEnd = listener;
}

/** Whether by this countdown the session is over. */
export function isOver() {
  return endsAt !== null && Date.now() >= endsAt - TOLERANCE_MS;
}

/** @param {number | null} seconds left according to the server; `null` if no user is signed in */
export function showTimeLeft(seconds) {
  const before = endsAt;
  if (seconds === null) {
    endsAt = null;
    longest = 0;
  } else {
    endsAt = Date.now() + seconds * 1000;
    longest = Math.max(longest, seconds);
    if (before !== null && endsAt - before > TOLERANCE_MS) celebrate();
  }
  tick();
}

function celebrate() {
  element.classList.add('extended');
  announcement.textContent = 'Your session was extended.';
  setTimeout(() => {
    element.classList.remove('extended');
    announcement.textContent = '';
  }, SHOW_EXTENDED_MS);
}

let notifiedFor = null;

function tick() {
  const seconds = endsAt === null ? Infinity : Math.max(0, Math.round((endsAt - Date.now()) / 1000));
  const soon = seconds <= Math.min(WARN_SECONDS, longest / 2);
  element.classList.toggle('soon', soon);
  ending.hidden = !soon || seconds === 0;
  if (endsAt === null) return;
  timeLeft.textContent = clockTime(seconds);
  if (Date.now() >= endsAt && notifiedFor !== endsAt) {
    notifiedFor = endsAt;
    onEnd();
  }
}

function clockTime(seconds) {
  const days = Math.floor(seconds / DAY_SECONDS);
  if (days >= 2) return `${days} days`;
  const pad = (number) => String(number).padStart(2, '0');
  return `${pad(Math.floor(seconds / 60))}:${pad(seconds % 60)}`;
}

setInterval(tick, 1000);
