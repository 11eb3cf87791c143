/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In a network namespace of its own, with real rules. */
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "lodge-ruleset.h"

#define BRIDGE "lodgetest0"
#define RULES                                                                                      \
  "table ip filter { chain LIBVIRT_INP { iifname \"" BRIDGE "\" udp dport 53 accept; };"           \
  " chain INPUT { type filter hook input priority 0; jump LIBVIRT_INP; }; };"                      \
  "table ip nat { chain LIBVIRT_PRT { ip saddr 10.87.0.0/22 return; }; };"                         \
  "table ip other { chain a { iifname \"" BRIDGE "\" accept; }; }"

typedef struct
{
  GMainLoop *loop;
  GArray *attempts; /* guint */
} Fixture;

static gboolean
has_namespace (void)
{
  g_autofree char *nft = g_find_program_in_path ("nft");

  return nft != NULL && geteuid () == 0 && unshare (CLONE_NEWNET) == 0
         && system ("ip link add " BRIDGE " type bridge") == 0;
}

static void
nft (const char *rules)
{
  const char *const argv[] = { "nft", rules, NULL };
  int status;

  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, &status, NULL));
  g_assert_true (g_spawn_check_wait_status (status, NULL));
}

static void
on_lost (const char *bridge, guint attempt, gpointer user_data)
{
  Fixture *fixture = user_data;

  g_assert_cmpstr (bridge, ==, BRIDGE);
  g_array_append_val (fixture->attempts, attempt);
  g_main_loop_quit (fixture->loop);
}

static gboolean
on_timeout (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

/* Until something is told, or nothing for @milliseconds. */
static guint
wait_for (Fixture *fixture, guint milliseconds)
{
  guint before = fixture->attempts->len;
  guint timer = g_timeout_add (milliseconds, on_timeout, fixture->loop);

  g_main_loop_run (fixture->loop);
  if (fixture->attempts->len > before)
    g_source_remove (timer);
  return fixture->attempts->len - before;
}

static guint
last_attempt (const Fixture *fixture)
{
  return g_array_index (fixture->attempts, guint, fixture->attempts->len - 1);
}

static void
test_lost (void)
{
  Fixture fixture = { 0 };
  g_autoptr (LodgeRuleset) ruleset = NULL;

  if (!has_namespace ())
    {
      g_test_skip ("needs root, nft and ip");
      return;
    }
  fixture.loop = g_main_loop_new (NULL, FALSE);
  fixture.attempts = g_array_new (FALSE, FALSE, sizeof (guint));
  ruleset = lodge_ruleset_new (on_lost, &fixture);
  nft (RULES);
  lodge_ruleset_watch (ruleset, BRIDGE, "10.87.0.1", 22);
  g_assert_cmpuint (wait_for (&fixture, 600), ==, 0);

  /* What is not libvirt's is not missed. */
  nft ("delete table ip other");
  g_assert_cmpuint (wait_for (&fixture, 1500), ==, 0);

  /* A part of them is enough, and it is told again when nothing comes of it. */
  nft ("flush chain ip nat LIBVIRT_PRT");
  g_assert_cmpuint (wait_for (&fixture, 10000), ==, 1);
  g_assert_cmpuint (last_attempt (&fixture), ==, 1);
  g_assert_cmpuint (wait_for (&fixture, 10000), ==, 1);
  g_assert_cmpuint (last_attempt (&fixture), ==, 2);

  /* They are back: then it begins from the start. */
  nft ("add rule ip nat LIBVIRT_PRT ip saddr 10.87.0.0/22 return");
  g_assert_cmpuint (wait_for (&fixture, 4000), ==, 0);
  nft ("flush ruleset");
  g_assert_cmpuint (wait_for (&fixture, 10000), ==, 1);
  g_assert_cmpuint (last_attempt (&fixture), ==, 1);

  /* Without the network its rules are not missed either. */
  g_assert_cmpint (system ("ip link delete " BRIDGE), ==, 0);
  g_assert_cmpuint (wait_for (&fixture, 5000), ==, 0);
  g_array_unref (fixture.attempts);
  g_main_loop_unref (fixture.loop);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ruleset/lost", test_lost);
  return g_test_run ();
}
