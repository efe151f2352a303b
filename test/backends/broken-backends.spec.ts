import { expect, it } from '@jest/globals';
import { MemoryBackend, type SessionBackend } from 'nestjs-sessionx';
import { backendConformance, type ConformanceCase, type DamagedKey } from 'nestjs-sessionx/testing';
import { AssertionError } from 'node:assert/strict';

import * as Broken from '../support/broken-backends.js';

const broken: [fault: string, create: () => SessionBackend, caughtBy: RegExp][] = [
  ['sets blindly', () => new Broken.BlindSet(), /^replace leaves a record alone that has another version/],
  ['loses updates', () => new Broken.LosesUpdates(), /^no update is lost/],
  ['brings back what was deleted', () => new Broken.Resurrects(), /^replace never creates/],
  ['brings back by a touch', () => new Broken.ResurrectsByTouch(), /^touch never creates/],
  ['forgets the index', () => new Broken.ForgetsTheIndex(), /^listByUser lists a user's/],
  ['lists what has ended', () => new Broken.ListsTheEnded(), /leaves the index/],
  ['lets a login slip through a logout everywhere', () => new Broken.LogsOutByScan(), /never alive and unlisted/],
  [
    'counts what had expired',
    () => new Broken.CountsWhatHadExpired(),
    /^deleteByUser ends all sessions of the user and returns/,
  ],
  ['ends the session to be kept', () => new Broken.IgnoresTheExcepted(), /^deleteByUser spares/],
  ['checks the limit, then acts', () => new Broken.LimitsByCheckThenAct(), /^20 sessions created at once/],
  ['evicts the newest', () => new Broken.EvictsTheNewest(), /^a limit evicts the least recently used/],
  ['evicts what expires first', () => new Broken.EvictsWhatExpiresFirst(), /^a limit evicts the least recently used/],
  ['evicts ties in any order', () => new Broken.EvictsTiesInAnyOrder(), /^of sessions that were last used at the same/],
  ['returns a record past its expiry', () => new Broken.OutlivesItsExpiry(), /^a record is not usable past its expiry/],
  ['moves times back', () => new Broken.MovesTimesBack(), /^touch never moves a time back/],
  [
    'bumps the version on a touch',
    () => new Broken.BumpsTheVersionOnTouch(),
    /^touch moves the times and leaves version/,
  ],
  [
    'deletes the old session unseen',
    () => new Broken.DeletesTheOldFirst(),
    /^a session does not replace one that has changed/,
  ],
  ['keeps the old session', () => new Broken.KeepsTheOld(), /^a session that replaces another/],
  ['creates after the deadline', () => new Broken.NeverTooLate(), /^create does nothing once its deadline/],
  ['replaces after the deadline', () => new Broken.ReplacesTooLate(), /^replace does nothing once its deadline/],
  [
    'looks at the deadline of a creation only at first',
    () => new Broken.LooksAtTheDeadlineOnlyAtFirst(),
    /^create does nothing that its deadline has overtaken/,
  ],
  [
    'looks at the deadline of an activation only at first',
    () => new Broken.LooksAtTheDeadlineOnlyAtFirst(),
    /^replace does nothing that its deadline has overtaken/,
  ],
  ['ignores the prefix', () => new Broken.IgnoresThePrefix(), /^what lies under one keyPrefix/],
  ['overwrites an id that is taken', () => new Broken.OverwritesTheTaken(), /^create refuses an id that is taken/],
  ['cuts long payloads', () => new Broken.CutsLongPayloads(), /^a payload of any text survives/],
  ['takes the pending for active', () => new Broken.ReadsThePendingAsActive(), /^read returns a record exactly/],
  ['throws when there is nothing to read', () => new Broken.ThrowsWhenThereIsNothingToRead(), /^read returns null/],
  ['says that it has replaced', () => new Broken.SaysThatItReplaced(), /^replace stores a new version/],
  ['takes times back by replacing', () => new Broken.TakesTimesBackByReplacing(), /^replace does not take back/],
  ['deletes whatever the version is', () => new Broken.DeletesWhateverTheVersion(), /^delete with a version spares/],
  ['deletes the invalidated', () => new Broken.DeletesTheInvalidated(), /^delete without a version leaves/],
  ['checks what it deletes, then acts', () => new Broken.DeletesByCheckThenAct(), /^of two deletions of one/],
  ['checks what it replaces, then acts', () => new Broken.ReplacesByCheckThenAct(), /^of two sessions that replace/],
  ['fails at ping', () => new Broken.FailsPing(), /^ping resolves/],
  ['takes anything for a record', () => new Broken.TakesAnythingForARecord(), /^read throws DamagedRecordError/],
  ['takes the newer for missing', () => new Broken.TakesTheNewerForMissing(), /^every call throws NewerRecordError/],
  ['lists the anonymous', () => new Broken.ListsTheAnonymous(), /^an anonymous session is in no index/],
  ['revives what left the index', () => new Broken.RevivesWhatTheIndexHasForgotten(), /^a session that a late renewal/],
  ['forgets the renewed', () => new Broken.ForgetsTheRenewed(), /^a session that is renewed stays listed/],
  ['keeps a login short', () => new Broken.KeepsTheShortLifeOfThePending(), /^a pending session that is activated/],
  ['evicts pending ones', () => new Broken.EvictsPendingOnes(), /^a limit evicts no pending session/],
  ['counts no pending ones', () => new Broken.CountsNoPendingOnes(), /^a limit evicts no pending session/],
  ['evicts where it should reject', () => new Broken.EvictsWhereItShouldReject(), /^a limit that rejects/],
  ['counts the replaced', () => new Broken.CountsTheReplaced(), /^a limit does not count expired/],
  ['lets two writers win', () => new Broken.LosesUpdates(), /^of 20 compare-and-sets/],
  ['counts a touch as a change', () => new Broken.BumpsTheVersionOnTouch(), /^a touch does not make a compare-and-set/],
  ['brings back while it deletes', () => new Broken.Resurrects(), /^a deletion that races/],
  ['knows no aliases', () => new Broken.KnowsNoAliases(), /^the backend says that it keeps aliases/],
  ['leaves no alias', () => new Broken.LeavesNoAlias(), /^an alias takes the place/],
  ['leaves an alias where nothing was replaced', () => new Broken.LeavesTheAliasWhateverComes(), /^no alias is left/],
  ['deletes an alias', () => new Broken.DeletesTheAlias(), /^an alias is left alone by a touch/],
  ['forgets an alias', () => new Broken.ForgetsTheAlias(), /^an alias is kept until its expiry/],
  ['counts an alias', () => new Broken.CountsTheAlias(), /^an alias is in no index/],
  ['leaves the alias a moment later', () => new Broken.LeavesTheAliasAMomentLater(), /^a reader around a new id/],
  [
    'lets both of two new ids live',
    () => new Broken.LeavesAnAliasByCheckThenAct(),
    /^of two sessions that leave an alias/,
  ],
  [
    'forgets a logout for an alias',
    () => new Broken.LeavesAnAliasByCheckThenAct(),
    /^a deletion at the same time as a new id/,
  ],
  [
    'lets a new id slip through a logout everywhere',
    () => new Broken.LeavesAnAliasByCheckThenAct(),
    /^a new id that races with a logout everywhere/,
  ],
  ['reads many in any order', () => new Broken.ReadsManyInAnyOrder(), /^readMany, if there is one/],
  ['notifies of no end', () => new Broken.NotifiesOfNoEnd(), /^onEnded, if there is one, notifies/],
  ['notifies of no replacement', () => new Broken.NotifiesOfNoReplacement(), /^onEnded, if there is one, notifies/],
  ['notifies for ever', () => new Broken.NotifiesForEver(), /^onEnded does not notify/],
  ['fails where it cannot notify', () => new Broken.FailsWhereItCannotNotify(), /^what onEnded gets/],
  ['throws when there is nothing to delete', () => new Broken.ThrowsWhenMissing(), /^delete removes a record/],
];

const damage = async ({ backend, id }: DamagedKey) => {
  if (backend instanceof Broken.TakesAnythingForARecord) await backend.damage(id);
};

const writeNewer = ({ backend, id }: DamagedKey) => {
  if (backend instanceof Broken.TakesTheNewerForMissing) backend.writeNewer(id);
  return Promise.resolve();
};

function suite(create: () => SessionBackend): ConformanceCase[] {
  return backendConformance({ create, again: (first) => first, damage, writeNewer });
}

it.each(broken)('the suite catches a backend that %s', async (_fault, create, caughtBy) => {
  const cases = suite(create).filter(({ name }) => caughtBy.test(name));
  expect(cases).toHaveLength(1);
  const failure: unknown = await cases[0]!.run().catch((error: unknown) => error);
  // An assertion of the suite, or what the backend itself throws where it must not; not a mistake of the suite.
  expect([AssertionError, Broken.BrokenBackendError].map((kind) => failure instanceof kind)).toContain(true);
});

it('each requirement of the suite has a backend here that it catches', () => {
  const names = suite(() => new MemoryBackend()).map(({ name }) => name);
  expect(names.filter((name) => !broken.some(([, , caughtBy]) => caughtBy.test(name)))).toEqual([]);
});
