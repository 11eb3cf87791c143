/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fake-world.h"

typedef struct
{
  guint delay_ms;
  guint failures; /* calls that are still to fail */
  LodgeErrorCode code;
  char *message;
  guint calls;
} Rule;

struct _LodgeFakeWorld
{
  GObject parent;

  GMutex lock;
  char *state_file;
  GHashTable *domains;  /* UUID → LodgeDomainInfo */
  GHashTable *rules;    /* op → Rule */
  GHashTable *stubborn; /* set of UUIDs */
  gboolean connected[2];
  gint64 last_id;
};

G_DEFINE_FINAL_TYPE (LodgeFakeWorld, lodge_fake_world, G_TYPE_OBJECT)

static void
rule_free (Rule *rule)
{
  g_free (rule->message);
  g_free (rule);
}

/* ---- rules ---- */

static Rule *
ensure_rule (LodgeFakeWorld *self, const char *op)
{
  Rule *rule = g_hash_table_lookup (self->rules, op);

  if (rule == NULL)
    {
      rule = g_new0 (Rule, 1);
      g_hash_table_insert (self->rules, g_strdup (op), rule);
    }
  return rule;
}

static gboolean
take_failure (LodgeFakeWorld *self, const char *op, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Rule *rule = ensure_rule (self, op);

  if (rule->failures == 0)
    return FALSE;
  rule->failures--;
  g_set_error_literal (error, LODGE_ERROR, (int) rule->code, rule->message);
  return TRUE;
}

gboolean
lodge_fake_world_pass (LodgeFakeWorld *self, const char *op, GCancellable *cancellable,
                       GError **error)
{
  gint64 until;
  Rule *rule;

  g_mutex_lock (&self->lock);
  rule = ensure_rule (self, op);
  rule->calls++;
  until = g_get_monotonic_time () + (gint64) rule->delay_ms * 1000;
  g_mutex_unlock (&self->lock);

  while (g_get_monotonic_time () < until)
    {
      if (g_cancellable_is_cancelled (cancellable))
        break;
      g_usleep (1000);
    }
  if (g_cancellable_is_cancelled (cancellable))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, "%s was cancelled", op);
      return FALSE;
    }
  return !take_failure (self, op, error);
}

void
lodge_fake_world_set_delay (LodgeFakeWorld *self, const char *op, guint ms)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  ensure_rule (self, op)->delay_ms = ms;
}

void
lodge_fake_world_set_failure (LodgeFakeWorld *self, const char *op, LodgeErrorCode code,
                              const char *message, guint count)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Rule *rule = ensure_rule (self, op);

  g_free (rule->message);
  rule->message = g_strdup (message);
  rule->code = code;
  rule->failures = count;
}

void
lodge_fake_world_clear_rules (LodgeFakeWorld *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_remove_all (self->rules);
}

guint
lodge_fake_world_count (LodgeFakeWorld *self, const char *op)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return ensure_rule (self, op)->calls;
}

/* ---- the state file ---- */

static void
save_domain (GKeyFile *file, const LodgeDomainInfo *info)
{
  const char *group = info->uuid;

  g_key_file_set_string (file, group, "name", info->name);
  g_key_file_set_string (file, group, "kind", lodge_kind_nick (info->kind));
  g_key_file_set_string (file, group, "state", lodge_state_nick (info->state));
  g_key_file_set_int64 (file, group, "id", info->id);
  g_key_file_set_boolean (file, group, "managed", info->managed);
  g_key_file_set_uint64 (file, group, "memory", info->memory_limit);
  g_key_file_set_integer (file, group, "vcpus", (int) info->vcpus);
  if (info->image != NULL)
    g_key_file_set_string (file, group, "image", info->image);
  if (info->network != NULL)
    g_key_file_set_string (file, group, "network", info->network);
  if (info->mac != NULL)
    g_key_file_set_string (file, group, "mac", info->mac);
}

/* Called with the lock held. */
static void
save (LodgeFakeWorld *self)
{
  g_autoptr (GKeyFile) file = NULL;
  g_autoptr (GError) error = NULL;
  LodgeDomainInfo *info;
  GHashTableIter iter;

  if (self->state_file == NULL)
    return;
  file = g_key_file_new ();
  g_hash_table_iter_init (&iter, self->domains);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &info))
    save_domain (file, info);
  if (!g_key_file_save_to_file (file, self->state_file, &error))
    g_warning ("the fake world was not saved: %s", error->message);
}

static LodgeDomainInfo *
load_domain (GKeyFile *file, const char *group)
{
  g_autofree char *kind = g_key_file_get_string (file, group, "kind", NULL);
  g_autofree char *state = g_key_file_get_string (file, group, "state", NULL);
  LodgeDomainInfo *info = g_new0 (LodgeDomainInfo, 1);

  info->uuid = g_strdup (group);
  info->name = g_key_file_get_string (file, group, "name", NULL);
  lodge_kind_from_nick (kind, &info->kind);
  lodge_state_from_nick (state, &info->state);
  info->id = g_key_file_get_int64 (file, group, "id", NULL);
  info->persistent = TRUE;
  info->managed = g_key_file_get_boolean (file, group, "managed", NULL);
  info->memory_limit = g_key_file_get_uint64 (file, group, "memory", NULL);
  info->vcpus = (guint) g_key_file_get_integer (file, group, "vcpus", NULL);
  info->image = g_key_file_get_string (file, group, "image", NULL);
  info->network = g_key_file_get_string (file, group, "network", NULL);
  info->mac = g_key_file_get_string (file, group, "mac", NULL);
  info->fingerprint = g_strdup (info->name);
  return info;
}

static gboolean
load (LodgeFakeWorld *self, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_auto (GStrv) groups = NULL;

  if (!g_file_test (self->state_file, G_FILE_TEST_EXISTS))
    return TRUE;
  if (!g_key_file_load_from_file (file, self->state_file, G_KEY_FILE_NONE, error))
    return FALSE;
  groups = g_key_file_get_groups (file, NULL);
  for (gsize i = 0; groups[i] != NULL; i++)
    {
      LodgeDomainInfo *info = load_domain (file, groups[i]);

      self->last_id = MAX (self->last_id, info->id);
      g_hash_table_insert (self->domains, g_strdup (groups[i]), info);
    }
  return TRUE;
}

/* ---- domains ---- */

/* Called with the lock held. */
static LodgeDomainInfo *
find (LodgeFakeWorld *self, const char *uuid_or_name)
{
  LodgeDomainInfo *info = g_hash_table_lookup (self->domains, uuid_or_name);
  GHashTableIter iter;

  if (info != NULL)
    return info;
  g_hash_table_iter_init (&iter, self->domains);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &info))
    if (g_str_equal (info->name, uuid_or_name))
      return info;
  return NULL;
}

GPtrArray *
lodge_fake_world_list (LodgeFakeWorld *self, LodgeKind kind)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_domain_info_free);
  LodgeDomainInfo *info;
  GHashTableIter iter;

  g_hash_table_iter_init (&iter, self->domains);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &info))
    if (info->kind == kind)
      g_ptr_array_add (list, lodge_domain_info_copy (info));
  return list;
}

LodgeDomainInfo *
lodge_fake_world_find (LodgeFakeWorld *self, const char *uuid_or_name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  const LodgeDomainInfo *info = find (self, uuid_or_name);

  return info != NULL ? lodge_domain_info_copy (info) : NULL;
}

void
lodge_fake_world_put (LodgeFakeWorld *self, const LodgeDomainInfo *info)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_replace (self->domains, g_strdup (info->uuid), lodge_domain_info_copy (info));
  save (self);
}

gboolean
lodge_fake_world_remove (LodgeFakeWorld *self, const char *uuid_or_name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  LodgeDomainInfo *info = find (self, uuid_or_name);

  if (info == NULL)
    return FALSE;
  g_hash_table_remove (self->stubborn, info->uuid);
  g_hash_table_remove (self->domains, info->uuid);
  save (self);
  return TRUE;
}

gboolean
lodge_fake_world_set_state (LodgeFakeWorld *self, const char *uuid_or_name, LodgeState state)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  LodgeDomainInfo *info = find (self, uuid_or_name);
  gboolean active = state == LODGE_STATE_RUNNING || state == LODGE_STATE_PAUSED;

  if (info == NULL)
    return FALSE;
  if (active && info->id < 0)
    info->id = ++self->last_id;
  else if (!active)
    info->id = -1;
  info->state = state;
  save (self);
  return TRUE;
}

gboolean
lodge_fake_world_rename (LodgeFakeWorld *self, const char *uuid_or_name, const char *new_name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  LodgeDomainInfo *info = find (self, uuid_or_name);

  if (info == NULL || find (self, new_name) != NULL)
    return FALSE;
  g_free (info->name);
  info->name = g_strdup (new_name);
  save (self);
  return TRUE;
}

gboolean
lodge_fake_world_set_memory (LodgeFakeWorld *self, const char *uuid_or_name, guint64 bytes)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  LodgeDomainInfo *info = find (self, uuid_or_name);

  if (info == NULL)
    return FALSE;
  info->memory_limit = bytes;
  save (self);
  return TRUE;
}

void
lodge_fake_world_set_stubborn (LodgeFakeWorld *self, const char *uuid, gboolean stubborn)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (stubborn)
    g_hash_table_add (self->stubborn, g_strdup (uuid));
  else
    g_hash_table_remove (self->stubborn, uuid);
}

gboolean
lodge_fake_world_is_stubborn (LodgeFakeWorld *self, const char *uuid)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return g_hash_table_contains (self->stubborn, uuid);
}

void
lodge_fake_world_set_connected (LodgeFakeWorld *self, LodgeKind kind, gboolean connected)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->connected[kind] = connected;
}

gboolean
lodge_fake_world_get_connected (LodgeFakeWorld *self, LodgeKind kind)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->connected[kind];
}

LodgeFakeWorld *
lodge_fake_world_new (const char *state_file, GError **error)
{
  g_autoptr (LodgeFakeWorld) self = g_object_new (LODGE_TYPE_FAKE_WORLD, NULL);

  self->state_file = g_strdup (state_file);
  if (state_file != NULL && !load (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
lodge_fake_world_finalize (GObject *object)
{
  LodgeFakeWorld *self = LODGE_FAKE_WORLD (object);

  g_hash_table_unref (self->domains);
  g_hash_table_unref (self->rules);
  g_hash_table_unref (self->stubborn);
  g_free (self->state_file);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (lodge_fake_world_parent_class)->finalize (object);
}

static void
lodge_fake_world_class_init (LodgeFakeWorldClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_fake_world_finalize;
}

static void
lodge_fake_world_init (LodgeFakeWorld *self)
{
  g_mutex_init (&self->lock);
  self->domains = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) lodge_domain_info_free);
  self->rules = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) rule_free);
  self->stubborn = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->connected[LODGE_KIND_CONTAINER] = TRUE;
  self->connected[LODGE_KIND_VM] = TRUE;
}
