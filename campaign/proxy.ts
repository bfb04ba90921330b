/** A TCP proxy in front of the host's sshd that cuts, refuses or freezes connections. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What happens to one connection. */
export type Treatment = {
  /** Cut after this many bytes to the server, or from it. */
  readonly up?: number;
  readonly down?: number;
  readonly refuse?: true;
};

export class Proxy {
  /** Bytes of every connection since `reset`, in their order. */
  carried: { up: number; down: number }[] = [];
  private readonly server: Server;
  private readonly open = new Set<Socket>();
  private treatments: readonly Treatment[] = [];
  private frozen = false;

  constructor(private readonly address: string) {
    this.server = createServer((socket) => this.carry(socket));
  }

  async listen(): Promise<number> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  /** Forgets what was carried; the nth connection from now on gets the nth treatment. */
  reset(...treatments: readonly Treatment[]): void {
    this.carried = [];
    this.treatments = treatments;
    this.frozen = false;
  }

  /** Cuts every connection there is. */
  cut(): void {
    for (const socket of this.open) socket.resetAndDestroy();
  }

  /** Nothing passes any more, and nobody is told. */
  freeze(): void {
    this.frozen = true;
  }

  close(): void {
    this.cut();
    this.server.close();
  }

  private carry(client: Socket): void {
    const treatment = this.treatments[this.carried.length] ?? {};
    const carried = { up: 0, down: 0 };
    this.carried.push(carried);
    if (treatment.refuse) return void client.resetAndDestroy();
    const server = connect(22, this.address);
    for (const socket of [client, server]) {
      this.open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.open.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    const pass = (from: Socket, to: Socket, way: 'up' | 'down'): void => {
      from.on('data', (data: Buffer) => {
        if (this.frozen) return;
        const limit = treatment[way];
        const rest = limit === undefined ? data.length : Math.max(0, limit - carried[way]);
        carried[way] += Math.min(rest, data.length);
        to.write(data.subarray(0, rest));
        if (rest < data.length) setImmediate(() => (client.resetAndDestroy(), server.resetAndDestroy()));
      });
    };
    pass(client, server, 'up');
    pass(server, client, 'down');
  }
}
