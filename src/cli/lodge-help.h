/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/** What `lodge <command> --help` prints. */
void lodge_help_print_command (LodgeCli *cli, const LodgeCmd *cmd);

/** What `lodge help` prints. */
void lodge_help_print_overview (LodgeCli *cli);

/** The reST source of lodge(1)'s generated part. */
void lodge_help_print_man (void);

G_END_DECLS
