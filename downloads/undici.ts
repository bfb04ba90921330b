import type { buildConnector as Connector, Client as ClientOf } from 'undici';

/**
 * The parts of undici that are used. Its index loads fetch, WebSocket and whatever else browsers have, too: a third of what every run of the
 * program would read and compile, also of one that finds nothing new.
 */
/* eslint-disable @typescript-eslint/no-require-imports */
export const Client = require('undici/lib/dispatcher/client.js') as typeof ClientOf;
export const buildConnector = require('undici/lib/core/connect.js') as typeof Connector;
