/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The options and arguments of the commands for images and remotes.  A part of lodge-cmd-table.c,
 * which has what the rows share.
 */

static const LodgeOptionSpec kind_options[] = { KIND, OPTION_END };
static const LodgeOptionSpec image_list_options[]
    = { KIND,
        { "arch", '\0', LODGE_OPTION_STRING, "ARCH",
          N_ ("for example arm64; all for all of a remote"), 0 },
        OPTION_END };
static const LodgeArgSpec image_list_arguments[]
    = { { "FILTER", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY, 0 }, ARGUMENT_END };
static const LodgeArgSpec one_image[] = { { "IMAGE", 0, LODGE_COMPLETE_IMAGES }, ARGUMENT_END };
static const LodgeArgSpec many_images[]
    = { { "IMAGE", LODGE_ARG_MANY, LODGE_COMPLETE_IMAGES }, ARGUMENT_END };
static const LodgeArgSpec image_aliases[] = { { "IMAGE", 0, LODGE_COMPLETE_IMAGES },
                                              { "ALIAS", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY, 0 },
                                              ARGUMENT_END };
static const LodgeOptionSpec image_delete_options[] = { KIND, YES, NO_WAIT, OPTION_END };
static const LodgeArgSpec some_images[]
    = { { "IMAGE", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY, LODGE_COMPLETE_IMAGES }, ARGUMENT_END };
static const LodgeArgSpec image_flags[] = { { "IMAGE", 0, LODGE_COMPLETE_IMAGES },
                                            { "FLAG", LODGE_ARG_MANY, LODGE_COMPLETE_IMAGE_FLAGS },
                                            ARGUMENT_END };
static const LodgeOptionSpec image_refresh_options[] = { KIND, NO_WAIT, OPTION_END };
static const LodgeOptionSpec image_prune_options[] = {
  { "dry-run", 'n', LODGE_OPTION_FLAG, NULL, N_ ("only say what would go"), 0 }, NO_WAIT, OPTION_END
};
static const LodgeOptionSpec image_pull_options[]
    = { KIND,
        { "rebuild", '\0', LODGE_OPTION_FLAG, NULL, N_ ("also when it is there already"), 0 },
        NO_WAIT,
        OPTION_END };
static const LodgeOptionSpec image_import_options[] = {
  KIND,
  { "alias", 'a', LODGE_OPTION_STRINGS, "ALIAS", N_ ("a name for the image (repeatable)"), 0 },
  { "description", '\0', LODGE_OPTION_STRING, "TEXT", N_ ("what it is"), 0 },
  { "root", '\0', LODGE_OPTION_STRING, "FILE", N_ ("the root or disk that FILE is the metadata of"),
    LODGE_COMPLETE_FILES },
  { "sha256", '\0', LODGE_OPTION_STRING, "HASH", N_ ("what the file of an address must have"), 0 },
  { "allow-http", '\0', LODGE_OPTION_FLAG, NULL, N_ ("the address may be one without TLS (root)"),
    0 },
  OPTION_END
};
static const LodgeOptionSpec image_export_options[]
    = { { "format", '\0', LODGE_OPTION_STRING, "FORMAT",
          N_ ("unified, split, tar, qcow2, raw or iso"), 0 },
        { "compression", '\0', LODGE_OPTION_STRING, "HOW", N_ ("none, gzip, xz or zstd"), 0 },
        FORCE (N_ ("replace FILE when it is there")),
        KIND,
        OPTION_END };
static const LodgeArgSpec export_arguments[]
    = { { "IMAGE", 0, LODGE_COMPLETE_IMAGES },
        { "FILE", LODGE_ARG_OPTIONAL, LODGE_COMPLETE_FILES },
        ARGUMENT_END };
static const LodgeOptionSpec serve_tree_options[]
    = { KIND,
        { "compression", '\0', LODGE_OPTION_STRING, "HOW", N_ ("none, gzip, xz or zstd"), 0 },
        { "sign", '\0', LODGE_OPTION_STRING, "KEY", N_ ("sign the list with this OpenPGP key"), 0 },
        OPTION_END };
static const LodgeArgSpec serve_tree_arguments[]
    = { { "DIRECTORY", 0, LODGE_COMPLETE_FILES },
        { "IMAGE", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY, LODGE_COMPLETE_IMAGES },
        ARGUMENT_END };
static const LodgeOptionSpec convert_options[]
    = { { "to", '\0', LODGE_OPTION_STRING, "KIND", N_ ("vm or container"), LODGE_COMPLETE_KINDS },
        { "size", '\0', LODGE_OPTION_STRING, "SIZE", N_ ("of the VM's disk (10GiB)"), 0 },
        OPTION_END };
static const LodgeOptionSpec customize_options[] = {
  { "alias", 'a', LODGE_OPTION_STRINGS, "ALIAS", N_ ("a name for the image (repeatable)"), 0 },
  { "description", '\0', LODGE_OPTION_STRING, "TEXT", N_ ("what it is"), 0 },
  { "copy", '\0', LODGE_OPTION_STRINGS, "FILE:PATH", N_ ("copy a file in (repeatable)"),
    LODGE_COMPLETE_FILES },
  { "hostname", '\0', LODGE_OPTION_STRING, "NAME", N_ ("what it calls itself"), 0 },
  { "reset-machine-id", '\0', LODGE_OPTION_FLAG, NULL, N_ ("let the next boot make a new one"), 0 },
  { "serial", '\0', LODGE_OPTION_FLAG, NULL, N_ ("VMs: a login on the serial console"), 0 },
  { "size", '\0', LODGE_OPTION_STRING, "SIZE", N_ ("VMs: enlarge the disk and its root"), 0 },
  LODGE_ACCESS_OPTIONS,
  KIND,
  NO_WAIT,
  OPTION_END
};
static const LodgeArgSpec customize_arguments[] = { { "IMAGE", 0, LODGE_COMPLETE_IMAGES },
                                                    { "ALIAS", LODGE_ARG_OPTIONAL, 0 },
                                                    ARGUMENT_END };
static const LodgeOptionSpec instance_convert_options[]
    = { { "to", '\0', LODGE_OPTION_STRING, "KIND", N_ ("vm or container"), LODGE_COMPLETE_KINDS },
        { "size", '\0', LODGE_OPTION_STRING, "SIZE", N_ ("of the VM's disk (10GiB)"), 0 },
        { "start", '\0', LODGE_OPTION_FLAG, NULL, N_ ("let it run afterwards"), 0 },
        FORCE (N_ ("stop it first when it runs; it runs afterwards")),
        OPTION_END };
static const LodgeOptionSpec publish_options[]
    = { { "alias", 'a', LODGE_OPTION_STRINGS, "ALIAS", N_ ("a name for the image (repeatable)"),
          0 },
        { "description", '\0', LODGE_OPTION_STRING, "TEXT", N_ ("what it is"), 0 },
        FORCE (N_ ("stop it for that time when it runs")),
        OPTION_END };
static const LodgeArgSpec publish_arguments[] = { { "INSTANCE", 0, LODGE_COMPLETE_INSTANCES },
                                                  { "ALIAS", LODGE_ARG_OPTIONAL, 0 },
                                                  ARGUMENT_END };
static const LodgeArgSpec import_arguments[]
    = { { "FILE", 0, LODGE_COMPLETE_FILES },
        { "ROOT-FILE", LODGE_ARG_OPTIONAL, LODGE_COMPLETE_FILES },
        { "ALIAS", LODGE_ARG_OPTIONAL, 0 },
        ARGUMENT_END };

static const LodgeArgSpec one_remote[] = { { "REMOTE", 0, LODGE_COMPLETE_REMOTES }, ARGUMENT_END };
static const LodgeArgSpec remote_add_arguments[]
    = { { "NAME", 0, 0 }, { "URL", 0, 0 }, ARGUMENT_END };
static const LodgeOptionSpec remote_add_options[]
    = { { "protocol", '\0', LODGE_OPTION_STRING, "PROTOCOL", N_ ("simplestreams or url"), 0 },
        { "mirror", '\0', LODGE_OPTION_STRINGS, "URL", N_ ("serves the same (repeatable)"), 0 },
        { "ca", '\0', LODGE_OPTION_STRING, "FILE",
          N_ ("PEM of whom to trust, not the system's list"), LODGE_COMPLETE_FILES },
        { "keyring", '\0', LODGE_OPTION_STRING, "FILE", N_ ("OpenPGP keys that sign the index"),
          LODGE_COMPLETE_FILES },
        { "proxy", '\0', LODGE_OPTION_STRING, "URL", N_ ("the proxy to it"), 0 },
        { "private", '\0', LODGE_OPTION_FLAG, NULL,
          N_ ("it is on a private network or on this host"), 0 },
        { "allow-http", '\0', LODGE_OPTION_FLAG, NULL, N_ ("its address may be one without TLS"),
          0 },
        OPTION_END };
static const LodgeOptionSpec remote_refresh_options[]
    = { { "accept-older", '\0', LODGE_OPTION_FLAG, NULL,
          N_ ("also a list older than one seen before"), 0 },
        OPTION_END };
