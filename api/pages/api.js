/** The public API, and nothing else: paths are relative to the page, so a proxy may put the lab under any prefix. */

const BASE = new URL('api/v1/', document.baseURI);

/** A refusal or failure with a text for people (the problem document's detail). */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status HTTP status, 0 when the server was not reached
   * @param {string} title
   */
  constructor(message, status, title = '') {
    super(message);
    this.status = status;
    this.title = title;
  }
}

/**
 * @param {string} path below /api/v1/
 * @param {RequestInit} [options]
 * @returns {Promise<any>} the decoded answer
 * @throws {ApiError} with the server's own words where it gave any; status 0 when it was not reached
 */
async function request(path, options = {}) {
  const headers = { 'Accept-Language': document.documentElement.lang, ...options.headers };
  let response;
  try {
    response = await fetch(new URL(path, BASE), { ...options, headers });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(error.message, 0);
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) {
    const fields = (body?.errors ?? []).map((e) => e.detail ?? e.message ?? '').filter(Boolean);
    const detail = [body?.detail, ...fields].filter(Boolean).join(' ');
    throw new ApiError(detail || body?.title || `HTTP ${response.status}`, response.status, body?.title);
  }
  return body;
}

/**
 * @param {string} path
 * @param {Record<string, string|number|undefined>} [query] undefined values are left out
 * @param {AbortSignal} [signal]
 */
export function get(path, query = {}, signal = undefined) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) params.set(name, String(value));
  const tail = params.size ? `?${params}` : '';
  return request(path + tail, { signal });
}

/**
 * @param {string} path
 * @param {object} body
 */
export function post(path, body) {
  return request(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
}

/** @param {string} path */
export const remove = (path) => request(path, { method: 'DELETE' });

/** Where a file is to be had. @param {string} path below /api/v1/ @param {Record<string, string>} query */
export const fileUrl = (path, query) => `${new URL(path, BASE)}?${new URLSearchParams(query)}`;

/** @param {string} id an id as one path segment */
export const segment = (id) => encodeURIComponent(id);

/** @param {number} after last frame id seen, 0 for none */
export function liveUrl(after) {
  const url = new URL('live', BASE);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  if (after) url.searchParams.set('after', String(after));
  return url;
}
