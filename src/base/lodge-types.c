/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge/lodge-types.h"

static const char *const kind_nicks[] = { "container", "vm" };
static const char *const state_nicks[]
    = { "stopped", "starting", "running", "paused", "stopping", "saved", "crashed", "error" };
static const char *const origin_nicks[] = { "lodge", "foreign" };

static gboolean
index_of (const char *const *nicks, gsize n_nicks, const char *nick, guint *out_index)
{
  for (gsize i = 0; i < n_nicks; i++)
    if (g_strcmp0 (nicks[i], nick) == 0)
      {
        *out_index = (guint) i;
        return TRUE;
      }
  return FALSE;
}

const char *
lodge_kind_nick (LodgeKind kind)
{
  g_return_val_if_fail (kind < G_N_ELEMENTS (kind_nicks), kind_nicks[0]);
  return kind_nicks[kind];
}

gboolean
lodge_kind_from_nick (const char *nick, LodgeKind *out_kind)
{
  guint i;

  /* The word that LXD and Incus use. */
  if (g_strcmp0 (nick, "virtual-machine") == 0)
    nick = kind_nicks[LODGE_KIND_VM];
  if (!index_of (kind_nicks, G_N_ELEMENTS (kind_nicks), nick, &i))
    return FALSE;
  *out_kind = (LodgeKind) i;
  return TRUE;
}

const char *
lodge_state_nick (LodgeState state)
{
  g_return_val_if_fail (state < G_N_ELEMENTS (state_nicks), "error");
  return state_nicks[state];
}

gboolean
lodge_state_from_nick (const char *nick, LodgeState *out_state)
{
  guint i;

  if (!index_of (state_nicks, G_N_ELEMENTS (state_nicks), nick, &i))
    return FALSE;
  *out_state = (LodgeState) i;
  return TRUE;
}

const char *
lodge_origin_nick (LodgeOrigin origin)
{
  g_return_val_if_fail (origin < G_N_ELEMENTS (origin_nicks), origin_nicks[1]);
  return origin_nicks[origin];
}
