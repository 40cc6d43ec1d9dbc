//! Owns the text of the scripts. A script about one connection gets its keys in this order: entry, lock, generation, rejected
//! tokens, epoch.

/// Begins an epoch with the caller's random bytes if there is none.
pub const EPOCH: &str = "
local function current_epoch(random, life)
  local epoch = redis.call('GET', KEYS[5])
  if epoch and #epoch == 16 then return epoch end
  redis.call('SET', KEYS[5], random, 'PX', life)
  return random
end
";
/// Whether a list of tags, 16 bytes each, has this one.
pub const TAGS: &str = "
local function has(tags, tag)
  for at = 1, #tags, 16 do
    if string.sub(tags, at, at + 15) == tag then return true end
  end
  return false
end
";

/// Reads the entry, or acquires the lock in the same step. A lock is a mark and the holder's id: `0`, or `1` when a member
/// waits; `F` when the holder failed. A lock without an expiry, or with a later one than members give, counts as free. A
/// missing generation begins, so that a fetch from before its eviction cannot write; another one lives longer. The fencing
/// token ends with the tags of the tokens that are rejected now.
pub const TAKE: &str = "
local epoch = current_epoch(ARGV[1], ARGV[5])
local entry = redis.call('GET', KEYS[1])
if entry and string.sub(entry, 1, 16) == epoch and string.sub(entry, 17) ~= ARGV[3] then
  return {'entry', string.sub(entry, 17), redis.call('PTTL', KEYS[1])}
end
local generation = redis.call('GET', KEYS[3])
if not generation or #generation ~= 16 then generation = ARGV[1] end
redis.call('SET', KEYS[3], generation, 'PX', ARGV[6])
local token = epoch .. generation .. (redis.call('GET', KEYS[4]) or '')
local lock = redis.call('GET', KEYS[2])
local left = redis.call('PTTL', KEYS[2])
if lock and #lock == 17 and left >= 0 and left <= tonumber(ARGV[2]) then
  local mark, holder = string.sub(lock, 1, 1), string.sub(lock, 2)
  if mark == 'F' then
    if holder == ARGV[4] then return {'failed', token} end
  elseif holder ~= ARGV[1] then
    if mark == '0' then redis.call('SETRANGE', KEYS[2], 0, '1') end
    return {'held', token, holder}
  end
end
redis.call('SET', KEYS[2], '0' .. ARGV[1], 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[5], ARGV[5], 'GT')
return {'locked', token}";

pub const RENEW: &str = "
local lock = redis.call('GET', KEYS[2])
if lock and string.sub(lock, 2) == ARGV[1] then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return 0";

/// Writes an entry if nothing was invalidated since its fencing token was read, and if its token is not rejected, and was not
/// when the fetch began. A report of a token that is rejected already changes nothing, so a fetch that such a report met must
/// not write that token, even when its tag has expired meanwhile.
pub const PUT: &str = "
local epoch = redis.call('GET', KEYS[5]) or ''
local is_current = epoch .. (redis.call('GET', KEYS[3]) or '') == string.sub(ARGV[2], 1, 32)
local rejected = string.sub(ARGV[2], 33) .. (redis.call('GET', KEYS[4]) or '')
if is_current and not has(rejected, string.sub(ARGV[3], 1, 16)) then
  redis.call('SET', KEYS[1], epoch .. ARGV[3], 'PX', ARGV[4])
  redis.call('PEXPIRE', KEYS[5], ARGV[8], 'GT')
  if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[5], ARGV[7]) end
end
local lock = redis.call('GET', KEYS[2])
if lock and string.sub(lock, 2) == ARGV[1] then
  redis.call('DEL', KEYS[2])
  if string.sub(lock, 1, 1) == '1' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
end
return 0";

pub const RELEASE: &str = "
local lock = redis.call('GET', KEYS[2])
if lock and string.sub(lock, 2) == ARGV[1] then
  local waited = string.sub(lock, 1, 1) == '1'
  if waited and ARGV[2] ~= '0' then
    redis.call('SET', KEYS[2], 'F' .. ARGV[1], 'PX', ARGV[2])
  else
    redis.call('DEL', KEYS[2])
  end
  if waited then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
end
return 0";

/// Drops the entry and the lock of each connection, and begins a generation. With the tags of rejected tokens, an entry with
/// another token stays, so that a late rejection undoes nothing newer. The tags are stored for a few seconds: the platform may
/// still return such a token, and many callers may report it. Tags that are stored already change nothing. The script
/// publishes the names of all connections that it has changed.
///
/// It writes nothing for a connection that has no key in Redis, since anybody may invent the owner of a webhook: a fetch in
/// flight has a generation, and cannot write once that is gone. It publishes the name, since members may have it in memory.
pub const INVALIDATE: &str = "
local invalidated = ''
for at = 0, #KEYS / 4 - 1 do
  local entry, lock = KEYS[4 * at + 1], KEYS[4 * at + 2]
  local generation, rejected = KEYS[4 * at + 3], KEYS[4 * at + 4]
  local tags, name = ARGV[2 * at + 6], ARGV[2 * at + 7]
  local known = redis.call('GET', rejected) or ''
  local kept = redis.call('GET', entry)
  local has_rejected = kept and has(tags, string.sub(kept, 17, 32))
  local is_known = tags ~= ''
  for tag = 1, #tags, 16 do
    is_known = is_known and has(known, string.sub(tags, tag, tag + 15))
  end
  if has_rejected or not is_known then
    if kept or tags ~= '' or redis.call('GET', generation) or redis.call('GET', lock) then
      if not kept or tags == '' or has_rejected then redis.call('DEL', entry, lock) end
      redis.call('SET', generation, ARGV[1], 'PX', ARGV[2])
    end
    if tags ~= '' then redis.call('SET', rejected, string.sub(tags .. known, 1, 128), 'PX', ARGV[5]) end
    invalidated = invalidated .. name
  end
end
if invalidated ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[4] .. invalidated) end
return 0";

/// Begins an epoch. Its one key is the epoch.
pub const INVALIDATE_ALL: &str = "
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 0";

/// Begins a generation, so that no earlier fetch writes, and drops nothing. Returns a fencing token, as `TAKE` does.
pub const OUTDATE: &str = "
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return current_epoch(ARGV[1], ARGV[3]) .. ARGV[1] .. (redis.call('GET', KEYS[4]) or '')";
