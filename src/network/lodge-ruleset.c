/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-ruleset.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "lodge-fd.h"

#define SETTLE_MS   300  /* libvirt writes a rule at a time */
#define AGAIN_MS    700  /* it takes 400 for all of a network */
#define REPAIR_MS   3000 /* until what was done about it must have worked */
#define ATTEMPTS    LODGE_RULESET_ATTEMPTS
#define BUFFER_SIZE 65536

#define CHAIN_PREFIX "LIBVIRT_"
#define OWN_TABLE    "libvirt_network"

struct _LodgeRuleset
{
  LodgeRulesetLostFunc lost;
  gpointer user_data;
  char *bridge;
  guint32 subnet; /* as in packets */
  int fd;
  guint source;
  guint timer;
  GHashTable *expected; /* char *: "family table chain" that had rules of the network */
  gboolean suspect;     /* something was missing at the last look */
  guint attempts;
};

/* ---- reading ---- */

typedef struct
{
  const char *table;
  const char *chain;
  const guint8 *expressions;
  gsize size;
} Rule;

static void
read_rule (const struct nlmsghdr *header, Rule *rule)
{
  gsize offset = NLMSG_SPACE (sizeof (struct nfgenmsg));
  const guint8 *message = (const guint8 *) header;

  while (offset + NLA_HDRLEN <= header->nlmsg_len)
    {
      const struct nlattr *attr = (const struct nlattr *) (message + offset);
      if (attr->nla_len < NLA_HDRLEN || attr->nla_len > header->nlmsg_len - offset)
        return;
      const guint8 *data = message + offset + NLA_HDRLEN;
      gsize size = attr->nla_len - NLA_HDRLEN;
      gboolean is_text = size > 0 && data[size - 1] == '\0';
      guint type = attr->nla_type & NLA_TYPE_MASK;

      if (type == NFTA_RULE_TABLE && is_text)
        rule->table = (const char *) data;
      else if (type == NFTA_RULE_CHAIN && is_text)
        rule->chain = (const char *) data;
      else if (type == NFTA_RULE_EXPRESSIONS)
        {
          rule->expressions = data;
          rule->size = size;
        }
      offset += NLA_ALIGN (attr->nla_len);
    }
}

static gboolean
names (const Rule *rule, const void *what, gsize size)
{
  return rule->expressions != NULL && memmem (rule->expressions, rule->size, what, size) != NULL;
}

/* Its bridge, its subnet (masquerading knows no other), or the way to libvirt's chains. */
static gboolean
is_of_network (const LodgeRuleset *self, const Rule *rule)
{
  if (rule->table == NULL || rule->chain == NULL)
    return FALSE;
  if (strcmp (rule->table, OWN_TABLE) != 0 && !g_str_has_prefix (rule->chain, CHAIN_PREFIX))
    return names (rule, CHAIN_PREFIX, strlen (CHAIN_PREFIX));
  return names (rule, self->bridge, strlen (self->bridge) + 1)
         || names (rule, &self->subnet, sizeof self->subnet);
}

/* TRUE: there is more. */
static gboolean
take_message (const LodgeRuleset *self, const struct nlmsghdr *header, GHashTable *found,
              gboolean *failed)
{
  const struct nfgenmsg *message = NLMSG_DATA (header);
  Rule rule = { 0 };

  if (header->nlmsg_type == NLMSG_DONE)
    return FALSE;
  /* Somebody changes them just now: what was read may be of before and of after. */
  *failed = header->nlmsg_type == NLMSG_ERROR || (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
  if (*failed)
    return FALSE;
  if (header->nlmsg_type != ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWRULE)
      || header->nlmsg_len < NLMSG_LENGTH (sizeof *message))
    return TRUE;
  read_rule (header, &rule);
  if (is_of_network (self, &rule))
    g_hash_table_add (found,
                      g_strdup_printf ("%u %s %s", message->nfgen_family, rule.table, rule.chain));
  return TRUE;
}

static gboolean
take_part (const LodgeRuleset *self, int fd, GHashTable *found, gboolean *failed)
{
  _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
  const struct nlmsghdr *header = (const struct nlmsghdr *) buffer;
  ssize_t left = recv (fd, buffer, sizeof buffer, 0);

  *failed = left <= 0;
  if (*failed)
    return FALSE;
  for (; NLMSG_OK (header, left); header = NLMSG_NEXT (header, left))
    if (!take_message (self, header, found, failed))
      return FALSE;
  return TRUE;
}

/* (transfer full) (nullable): the chains with rules of the network; NULL: they cannot be read */
static GHashTable *
read_chains (const LodgeRuleset *self)
{
  const struct
  {
    struct nlmsghdr header;
    struct nfgenmsg message;
  } request = {
    .header = { .nlmsg_len = sizeof request,
                .nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE,
                .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
    .message = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 },
  };
  const struct timeval patience = { .tv_sec = 1 };
  g_autoptr (GHashTable) found = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gboolean failed = FALSE;
  g_auto (LodgeFd) fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

  if (fd < 0 || setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
      || send (fd, &request, sizeof request, 0) < 0)
    return NULL;
  while (take_part (self, fd, found, &failed))
    ;
  return failed ? NULL : g_steal_pointer (&found);
}

static gboolean
uses_legacy (void)
{
  g_autofree char *tables = NULL;

  return g_file_get_contents ("/proc/net/ip_tables_names", &tables, NULL, NULL) && *tables != '\0';
}

/* ---- judging ---- */

static void wait_for (LodgeRuleset *self, guint milliseconds);

static gboolean
is_complete (const LodgeRuleset *self, GHashTable *found)
{
  GHashTableIter iter;
  gpointer chain;

  g_hash_table_iter_init (&iter, self->expected);
  while (g_hash_table_iter_next (&iter, &chain, NULL))
    if (!g_hash_table_contains (found, chain))
      return FALSE;
  return g_hash_table_size (found) > 0 || uses_legacy ();
}

static void
forget (LodgeRuleset *self)
{
  g_hash_table_remove_all (self->expected);
  self->suspect = FALSE;
  self->attempts = 0;
}

static void
look (LodgeRuleset *self)
{
  g_autoptr (GHashTable) found = read_chains (self);

  /* With the bridge the network has ended, and its rules with it. */
  if (if_nametoindex (self->bridge) == 0)
    forget (self);
  else if (found == NULL)
    wait_for (self, AGAIN_MS);
  else if (is_complete (self, found))
    {
      forget (self);
      g_hash_table_unref (self->expected);
      self->expected = g_steal_pointer (&found);
    }
  else if (!self->suspect)
    {
      self->suspect = TRUE;
      wait_for (self, AGAIN_MS);
    }
  else if (self->attempts < ATTEMPTS)
    {
      self->suspect = FALSE;
      wait_for (self, REPAIR_MS);
      self->lost (self->bridge, ++self->attempts, self->user_data);
    }
}

/* ---- watching ---- */

static gboolean on_change (int fd, GIOCondition condition, gpointer user_data);

static void
drain (int fd)
{
  char buffer[BUFFER_SIZE];

  /* ENOBUFS: there was more than the socket takes, which is a change like any other. */
  while (recv (fd, buffer, sizeof buffer, MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
    ;
}

static gboolean
on_quiet (gpointer user_data)
{
  LodgeRuleset *self = user_data;

  self->timer = 0;
  drain (self->fd);
  look (self);
  if (self->timer == 0)
    self->source = g_unix_fd_add (self->fd, G_IO_IN | G_IO_ERR, on_change, self);
  return G_SOURCE_REMOVE;
}

/* Meanwhile nothing is listened to: who changes rules all the time costs no more than this. */
static void
wait_for (LodgeRuleset *self, guint milliseconds)
{
  self->timer = g_timeout_add (milliseconds, on_quiet, self);
}

static gboolean
on_change (int fd, GIOCondition condition, gpointer user_data)
{
  LodgeRuleset *self = user_data;

  self->source = 0;
  wait_for (self, SETTLE_MS);
  return G_SOURCE_REMOVE;
}

static void
stop (LodgeRuleset *self)
{
  g_clear_handle_id (&self->source, g_source_remove);
  g_clear_handle_id (&self->timer, g_source_remove);
}

static int
open_watch (void)
{
  const int group = NFNLGRP_NFTABLES;
  const struct sockaddr_nl address = { .nl_family = AF_NETLINK };
  g_auto (LodgeFd) fd
      = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);

  if (fd < 0 || bind (fd, (const struct sockaddr *) &address, sizeof address) < 0
      || setsockopt (fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
    return -1;
  return lodge_fd_steal (&fd);
}

LodgeRuleset *
lodge_ruleset_new (LodgeRulesetLostFunc lost, gpointer user_data)
{
  LodgeRuleset *self = g_new0 (LodgeRuleset, 1);

  self->lost = lost;
  self->user_data = user_data;
  self->fd = -1;
  self->expected = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
lodge_ruleset_watch (LodgeRuleset *self, const char *bridge, const char *gateway, guint prefix)
{
  struct in_addr address;

  stop (self);
  forget (self);
  if (self->fd < 0)
    self->fd = open_watch ();
  if (self->fd < 0 || prefix == 0 || prefix > 32 || inet_pton (AF_INET, gateway, &address) != 1)
    return;
  g_free (self->bridge);
  self->bridge = g_strdup (bridge);
  self->subnet = address.s_addr & htonl (G_MAXUINT32 << (32 - prefix));
  wait_for (self, SETTLE_MS);
}

void
lodge_ruleset_free (LodgeRuleset *self)
{
  stop (self);
  lodge_fd_clear (&self->fd);
  g_hash_table_unref (self->expected);
  g_free (self->bridge);
  g_free (self);
}
