/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-args.h"
#include "lodge-cli.h"

G_BEGIN_DECLS

/* The one table of commands: dispatch, help, completion, and the man page are made from it. */

typedef gboolean (*LodgeCmdFunc) (LodgeCli *cli, const LodgeArgs *args, GError **error);

typedef enum
{
  LODGE_GROUP_INSTANCES,
  LODGE_GROUP_INSIDE,
  LODGE_GROUP_FILES,
  LODGE_GROUP_IMAGES,
  LODGE_GROUP_JOBS,
  LODGE_GROUP_OTHER,
  LODGE_N_GROUPS
} LodgeCmdGroup;

#define LODGE_CMD_HIDDEN (1u << 0) /* not in help, completion, or the man page */
#define LODGE_CMD_OUTPUT (1u << 1) /* has the options of lodge_output_options */

/* Ends with the status of a guest's program, thus with 125 when Lodge itself failed. */
#define LODGE_CMD_STATUS (1u << 2)

struct _LodgeCmd
{
  const char *name;        /* "image-list"; "image list" is the same */
  const char *const *also; /* other names, NULL-ended; or NULL */
  LodgeCmdGroup group;
  guint flags;
  const char *summary;     /* one line, no full stop */
  const char *description; /* paragraphs with "\n\n" between */
  const char *examples;    /* one a line */
  const LodgeArgSpec *arguments;
  const LodgeOptionSpec *options;
  LodgeCmdFunc run;
};
typedef struct _LodgeCmd LodgeCmd;

/* A word of another tool, and what it is here. */
typedef struct
{
  const char *name;
  const char *command;
  const char *option; /* NULL, or one to add: "--force" */
} LodgeCmdAlias;

extern const LodgeCmd lodge_cmd_table[];
extern const gsize lodge_cmd_table_size;
extern const LodgeCmdAlias lodge_cmd_aliases[];
extern const gsize lodge_cmd_aliases_size;
extern const LodgeOptionSpec lodge_global_options[];
extern const LodgeOptionSpec lodge_output_options[];

/** The name and the short description of a group, for `lodge help <group>`. */
const char *lodge_cmd_group_name (LodgeCmdGroup group);
const char *lodge_cmd_group_title (LodgeCmdGroup group);

/**
 * lodge_cmd_find:
 * @words: what was typed
 * @out_n_used: how many of them are the command's name: 1 or 2
 * @out_extra: (nullable): an option that the alias stands for
 *
 * Errors: INVALID_ARGUMENT with the nearest name.
 */
const LodgeCmd *lodge_cmd_find (const char *const *words, guint *out_n_used, const char **out_extra,
                                GError **error);

/** The row of that exact name, not of an alias; or NULL. */
const LodgeCmd *lodge_cmd_by_name (const char *name);

/** The option tables that count for @cmd, most special first; NULL-ended array of 4. */
void lodge_cmd_option_tables (const LodgeCmd *cmd, const LodgeOptionSpec *out_tables[4]);

/** "lodge image-list [OPTION…] NAME": (transfer full). */
char *lodge_cmd_usage (const LodgeCmd *cmd);

/** Finds, parses and runs.  @words: NULL-ended, without the name of the program. */
gboolean lodge_cmd_run (LodgeCli *cli, const char *const *words, GError **error);

/* The functions of the table; each is in lodge-cmd-<family>.c. */
#define LODGE_CMD_FUNC(name)                                                                       \
  gboolean lodge_cmd_##name (LodgeCli *cli, const LodgeArgs *args, GError **error)

LODGE_CMD_FUNC (complete);
LODGE_CMD_FUNC (console);
LODGE_CMD_FUNC (create);
LODGE_CMD_FUNC (delete);
LODGE_CMD_FUNC (dumpxml);
LODGE_CMD_FUNC (exec);
LODGE_CMD_FUNC (file_list);
LODGE_CMD_FUNC (file_pull);
LODGE_CMD_FUNC (file_push);
LODGE_CMD_FUNC (file_remove);
LODGE_CMD_FUNC (help);
LODGE_CMD_FUNC (image_alias);
LODGE_CMD_FUNC (image_delete);
LODGE_CMD_FUNC (image_import);
LODGE_CMD_FUNC (image_export);
LODGE_CMD_FUNC (image_customize);
LODGE_CMD_FUNC (image_convert);
LODGE_CMD_FUNC (convert);
LODGE_CMD_FUNC (publish);
LODGE_CMD_FUNC (image_list);
LODGE_CMD_FUNC (image_prune);
LODGE_CMD_FUNC (image_pull);
LODGE_CMD_FUNC (image_serve_tree);
LODGE_CMD_FUNC (image_refresh);
LODGE_CMD_FUNC (image_set);
LODGE_CMD_FUNC (image_show);
LODGE_CMD_FUNC (info);
LODGE_CMD_FUNC (job_cancel);
LODGE_CMD_FUNC (job_list);
LODGE_CMD_FUNC (job_show);
LODGE_CMD_FUNC (job_wait);
LODGE_CMD_FUNC (launch);
LODGE_CMD_FUNC (list);
LODGE_CMD_FUNC (monitor);
LODGE_CMD_FUNC (eject);
LODGE_CMD_FUNC (pause);
LODGE_CMD_FUNC (reconcile);
LODGE_CMD_FUNC (remote_add);
LODGE_CMD_FUNC (remote_images);
LODGE_CMD_FUNC (remote_list);
LODGE_CMD_FUNC (remote_refresh);
LODGE_CMD_FUNC (remote_remove);
LODGE_CMD_FUNC (remote_set_default);
LODGE_CMD_FUNC (rename);
LODGE_CMD_FUNC (restart);
LODGE_CMD_FUNC (resume);
LODGE_CMD_FUNC (shell);
LODGE_CMD_FUNC (start);
LODGE_CMD_FUNC (stop);
LODGE_CMD_FUNC (version);

G_END_DECLS
