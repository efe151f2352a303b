const SESSION_ENDED = 4401;
const RECONNECT_AFTER_MS = 1000;

const element = (id) => document.getElementById(id);
let socket = null;

async function call(path, body) {
  const response = await fetch(`/api/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body ?? {}),
  });
  if (response.ok) return true;
  const { message } = await response.json().catch(() => ({}));
  show(null, [message ?? 'That did not work.'].flat().join(' '));
  return false;
}

/** Shows the room to `name`, or the form to nobody. */
function show(name, notice = '') {
  element('sign-in').hidden = name !== null;
  element('room').hidden = name === null;
  element('notice').hidden = notice === '';
  element('notice').textContent = notice;
  if (name === null) state('signed out');
}

function state(text) {
  element('connection').textContent = text;
  element('connection').dataset.state = text;
}

function addLine({ from, text }) {
  const line = document.createElement('li');
  if (from === '') {
    line.className = 'news';
  } else {
    const author = document.createElement('b');
    author.textContent = from;
    line.append(author, ' ');
  }
  line.append(text);
  element('lines').append(line);
  line.scrollIntoView({ block: 'nearest' });
}

function connect() {
  state('connecting');
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/chat`);
  socket.addEventListener('open', () => state('connected'));
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(data);
    if (message.event === 'line') addLine(message.data);
  });
  socket.addEventListener('close', ({ code }) => {
    if (code === SESSION_ENDED) show(null, 'You have been signed out.');
    else setTimeout(begin, RECONNECT_AFTER_MS);
  });
}

/** The page may be older than its session, so it asks who is signed in. */
async function begin() {
  try {
    const { name } = await (await fetch('/api/me')).json();
    show(name);
    if (name !== null) connect();
  } catch {
    state('no connection');
    setTimeout(begin, RECONNECT_AFTER_MS);
  }
}

element('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (await call('sign-in', { name: new FormData(event.target).get('name') })) await begin();
});
element('say').addEventListener('submit', (event) => {
  event.preventDefault();
  socket?.send(JSON.stringify({ event: 'say', data: new FormData(event.target).get('text') }));
  event.target.reset();
});
element('log-out').addEventListener('click', () => call('log-out'));
element('log-out-everywhere').addEventListener('click', () => call('log-out-everywhere'));

await begin();
