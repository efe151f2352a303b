/** A failed call, with a message for the user of the page. */
export class Failure extends Error {
  /** @param {number} status 0 if there was no response */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The CSRF token. It does not authenticate: the session token is in a cookie that no script can read. */
let csrfToken = null;

export function useCsrfToken(token) {
  csrfToken = token;
}

/** @throws {Failure} */
export async function call(method, path, body) {
  const response = await send(method, path, body);
  csrfToken = response.headers.get('X-CSRF-Token') ?? csrfToken;
  if (!response.ok) throw new Failure(response.status, explain(response));
  return response.status === 204 ? null : response.json();
}

async function send(method, path, body) {
  const headers = { Accept: 'application/json' };
  if (csrfToken !== null) headers['X-CSRF-Token'] = csrfToken;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  try {
    return await fetch(`/api/${path}`, { method, headers, body: JSON.stringify(body), credentials: 'same-origin' });
  } catch {
    throw new Failure(0, 'The shop does not answer. Check your connection, then try again.');
  }
}

function explain({ status, headers }) {
  switch (status) {
    case 403:
      return 'The shop was not sure that this came from you, and did nothing. Reload the page and try again.';
    case 429:
      return `Too many attempts. Try again in ${headers.get('Retry-After') ?? 60} seconds.`;
    case 503:
      return 'The session store does not answer. Nothing is lost: try again in a moment.';
    default:
      return 'That did not work. Try again.';
  }
}
