import { Injectable, NotFoundException } from '@nestjs/common';
import { randomBytes } from 'node:crypto';

import { hashPassword, verifyPassword } from './password-hash.js';

export interface User {
  readonly userId: string;
  readonly username: string;
  readonly email: string;
  readonly roles: string[];
}

export interface NewUser extends User {
  readonly password: string;
}

interface Account {
  readonly user: User;
  readonly passwordHash: string;
}

/** Stands for your users' table. */
@Injectable()
export class UsersService {
  readonly #accounts = new Map<string, Account>();
  /** Compared if there is no such user, so that the response takes as long as for a wrong password. */
  readonly #hashOfNobody = hashPassword(randomBytes(32).toString('hex'));

  async create({ password, ...user }: NewUser): Promise<User> {
    this.add(user, await hashPassword(password));
    return user;
  }

  /** A user whose password has been hashed before. */
  add(user: User, passwordHash: string): void {
    this.#accounts.set(user.username, { user, passwordHash });
  }

  /** The user with this name and password; `null` otherwise, without a hint which of the two was wrong. */
  async verify(username: string, password: string): Promise<User | null> {
    const account = this.#accounts.get(username);
    const matches = await verifyPassword(password, account?.passwordHash ?? (await this.#hashOfNobody));
    return account !== undefined && matches ? account.user : null;
  }

  /** Whether this is the password of the user. */
  async hasPassword(userId: string, password: string): Promise<boolean> {
    const account = this.#find(userId);
    return verifyPassword(password, account?.passwordHash ?? (await this.#hashOfNobody));
  }

  list(): User[] {
    return [...this.#accounts.values()].map(({ user }) => user);
  }

  /** A real application first sends a link to the new address, and a notice to the old one. */
  changeEmail(userId: string, email: string): void {
    const account = this.#find(userId);
    if (account === undefined) throw new NotFoundException('There is no such user any more.');
    this.#accounts.set(account.user.username, { ...account, user: { ...account.user, email } });
  }

  #find(userId: string): Account | undefined {
    return [...this.#accounts.values()].find(({ user }) => user.userId === userId);
  }
}
