/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rows.  Each command's options and arguments stand right before the table. */
#include "lodge-launch-access.h"
#include "lodge-cmd.h"
#include "lodge-i18n.h"

#define NAMES(...)                                                                                 \
  (const char *const[])                                                                            \
  {                                                                                                \
    __VA_ARGS__, NULL                                                                              \
  }
#define OPTION_END                                                                                 \
  {                                                                                                \
    NULL                                                                                           \
  }
#define ARGUMENT_END                                                                               \
  {                                                                                                \
    NULL                                                                                           \
  }

const LodgeOptionSpec lodge_global_options[]
    = { { "help", 'h', LODGE_OPTION_FLAG, NULL, N_ ("show this help"), 0 },
        { "quiet", 'q', LODGE_OPTION_FLAG, NULL, N_ ("names only, no progress, no notes"), 0 },
        { "color", '\0', LODGE_OPTION_STRING, "WHEN", N_ ("auto, always or never"),
          LODGE_COMPLETE_COLORS },
        OPTION_END };

const LodgeOptionSpec lodge_output_options[]
    = { { "format", 'f', LODGE_OPTION_STRING, "FORMAT", N_ ("table, json, yaml, csv or name"),
          LODGE_COMPLETE_FORMATS },
        { "columns", 'c', LODGE_OPTION_STRING, "LIST",
          N_ ("the columns to show, with commas between"), LODGE_COMPLETE_COLUMNS },
        { "no-header", '\0', LODGE_OPTION_FLAG, NULL, N_ ("no line with the titles"), 0 },
        OPTION_END };

#define NO_WAIT                                                                                    \
  {                                                                                                \
    "no-wait", '\0', LODGE_OPTION_FLAG, NULL, N_ ("print the id of the job and leave"), 0          \
  }
#define FORCE(help)                                                                                \
  {                                                                                                \
    "force", 'f', LODGE_OPTION_FLAG, NULL, help, 0                                                 \
  }
#define YES                                                                                        \
  {                                                                                                \
    "yes", 'y', LODGE_OPTION_FLAG, NULL, N_ ("do not ask"), 0                                      \
  }
#define KIND                                                                                       \
  {                                                                                                \
    "kind", '\0', LODGE_OPTION_STRING, "KIND", N_ ("container or vm"), LODGE_COMPLETE_KINDS        \
  }

static const LodgeOptionSpec launch_options[]
    = { { "vm", '\0', LODGE_OPTION_FLAG, NULL, N_ ("make a virtual machine, not a container"), 0 },
        { "config", 'c', LODGE_OPTION_STRINGS, "KEY=VALUE",
          N_ ("set a configuration key (repeatable)"), LODGE_COMPLETE_KEYS },
        { "wait", 'w', LODGE_OPTION_FLAG, NULL, N_ ("wait until the guest has finished booting"),
          0 },
        { "size", '\0', LODGE_OPTION_STRING, "SIZE", N_ ("of a VM's disk (20GiB)"), 0 },
        LODGE_ACCESS_OPTIONS,
        NO_WAIT,
        OPTION_END };
static const LodgeOptionSpec create_options[]
    = { { "vm", '\0', LODGE_OPTION_FLAG, NULL, N_ ("make a virtual machine, not a container"), 0 },
        { "config", 'c', LODGE_OPTION_STRINGS, "KEY=VALUE",
          N_ ("set a configuration key (repeatable)"), LODGE_COMPLETE_KEYS },
        { "size", '\0', LODGE_OPTION_STRING, "SIZE", N_ ("of a VM's disk (20GiB)"), 0 },
        LODGE_ACCESS_OPTIONS,
        NO_WAIT,
        OPTION_END };
static const LodgeArgSpec launch_arguments[]
    = { { "IMAGE", 0, LODGE_COMPLETE_IMAGES }, { "NAME", LODGE_ARG_OPTIONAL, 0 }, ARGUMENT_END };

static const LodgeOptionSpec list_options[]
    = { { "usage", 'u', LODGE_OPTION_FLAG, NULL, N_ ("show what the instances use"), 0 },
        { "managed", '\0', LODGE_OPTION_FLAG, NULL,
          N_ ("leave out domains that Lodge did not make"), 0 },
        { "state", '\0', LODGE_OPTION_STRING, "STATE", N_ ("only those in this state"), 0 },
        KIND,
        OPTION_END };
static const LodgeArgSpec patterns[]
    = { { "PATTERN", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY, LODGE_COMPLETE_INSTANCES },
        ARGUMENT_END };

static const LodgeArgSpec one_instance[]
    = { { "NAME", 0, LODGE_COMPLETE_INSTANCES }, ARGUMENT_END };
static const LodgeArgSpec running[]
    = { { "NAME", LODGE_ARG_MANY, LODGE_COMPLETE_RUNNING }, ARGUMENT_END };
static const LodgeArgSpec stopped[]
    = { { "NAME", LODGE_ARG_MANY, LODGE_COMPLETE_STOPPED }, ARGUMENT_END };
static const LodgeArgSpec paused[]
    = { { "NAME", LODGE_ARG_MANY, LODGE_COMPLETE_PAUSED }, ARGUMENT_END };
static const LodgeArgSpec many_instances[]
    = { { "NAME", LODGE_ARG_MANY, LODGE_COMPLETE_INSTANCES }, ARGUMENT_END };
static const LodgeOptionSpec start_options[]
    = { { "wait", 'w', LODGE_OPTION_FLAG, NULL, N_ ("wait until the guest has finished booting"),
          0 },
        NO_WAIT,
        OPTION_END };
static const LodgeOptionSpec stop_options[] = { FORCE (N_ ("at once, without asking the guest")),
                                                { "timeout", 't', LODGE_OPTION_SECONDS, "TIME",
                                                  N_ ("how long the guest may take (30s)"), 0 },
                                                NO_WAIT,
                                                OPTION_END };
static const LodgeOptionSpec no_wait_options[] = { NO_WAIT, OPTION_END };
static const LodgeOptionSpec delete_options[]
    = { FORCE (N_ ("also when it runs")), YES, NO_WAIT, OPTION_END };
static const LodgeOptionSpec eject_options[]
    = { FORCE (N_ ("also when the guest has locked the drive")), NO_WAIT, OPTION_END };
static const LodgeArgSpec rename_arguments[]
    = { { "NAME", 0, LODGE_COMPLETE_STOPPED }, { "NEW-NAME", 0, 0 }, ARGUMENT_END };

#define EXEC_OPTIONS                                                                               \
  { "user", 'u', LODGE_OPTION_STRING, "USER", N_ ("a user of the guest (root)"), 0 },              \
      { "cwd", '\0', LODGE_OPTION_STRING, "DIRECTORY", N_ ("the directory to run in"), 0 },        \
  {                                                                                                \
    "env", 'e', LODGE_OPTION_STRINGS, "NAME=VALUE", N_ ("an environment variable (repeatable)"), 0 \
  }

static const LodgeOptionSpec exec_options[]
    = { EXEC_OPTIONS,
        { "tty", 't', LODGE_OPTION_FLAG, NULL, N_ ("give it a terminal in any case"), 0 },
        { "no-tty", 'T', LODGE_OPTION_FLAG, NULL, N_ ("give it no terminal"), 0 },
        OPTION_END };
static const LodgeOptionSpec shell_options[] = { EXEC_OPTIONS, OPTION_END };
static const LodgeArgSpec exec_arguments[]
    = { { "NAME", 0, LODGE_COMPLETE_RUNNING },
        { "COMMAND", LODGE_ARG_MANY | LODGE_ARG_VERBATIM, 0 },
        ARGUMENT_END };
static const LodgeOptionSpec console_options[] = {
  { "escape", '\0', LODGE_OPTION_STRING, "KEY", N_ ("the key that leaves the console (^])"), 0 },
  { "log", '\0', LODGE_OPTION_FLAG, NULL, N_ ("print what the console showed, and leave"), 0 },
  OPTION_END
};
static const LodgeArgSpec one_running[] = { { "NAME", 0, LODGE_COMPLETE_RUNNING }, ARGUMENT_END };

static const LodgeOptionSpec push_options[]
    = { { "uid", '\0', LODGE_OPTION_STRING, "UID", N_ ("owner in the guest"), 0 },
        { "gid", '\0', LODGE_OPTION_STRING, "GID", N_ ("group in the guest"), 0 },
        { "mode", '\0', LODGE_OPTION_STRING, "MODE", N_ ("permissions, in octal"), 0 },
        { "parents", 'p', LODGE_OPTION_FLAG, NULL, N_ ("make missing directories"), 0 },
        OPTION_END };
static const LodgeArgSpec push_arguments[]
    = { { "SOURCE", 0, LODGE_COMPLETE_FILES },
        { "NAME/PATH", LODGE_ARG_MANY, LODGE_COMPLETE_REMOTE_FILES },
        ARGUMENT_END };
static const LodgeArgSpec pull_arguments[] = { { "NAME/PATH", 0, LODGE_COMPLETE_REMOTE_FILES },
                                               { "TARGET", LODGE_ARG_MANY, LODGE_COMPLETE_FILES },
                                               ARGUMENT_END };
static const LodgeArgSpec remote_paths[]
    = { { "NAME/PATH", LODGE_ARG_MANY, LODGE_COMPLETE_REMOTE_FILES }, ARGUMENT_END };
static const LodgeArgSpec remote_path[]
    = { { "NAME/PATH", 0, LODGE_COMPLETE_REMOTE_FILES }, ARGUMENT_END };
static const LodgeOptionSpec file_remove_options[]
    = { { "recursive", 'r', LODGE_OPTION_FLAG, NULL, N_ ("directories with what is in them"), 0 },
        OPTION_END };

#include "lodge-cmd-table-images.h"

static const LodgeOptionSpec job_list_options[]
    = { { "all", 'a', LODGE_OPTION_FLAG, NULL, N_ ("also those that have ended"), 0 }, OPTION_END };
static const LodgeArgSpec one_job[] = { { "JOB", 0, LODGE_COMPLETE_JOBS }, ARGUMENT_END };
static const LodgeArgSpec many_jobs[]
    = { { "JOB", LODGE_ARG_MANY, LODGE_COMPLETE_JOBS }, ARGUMENT_END };
static const LodgeOptionSpec monitor_options[]
    = { { "format", 'f', LODGE_OPTION_STRING, "FORMAT", N_ ("table or json (one object a line)"),
          LODGE_COMPLETE_FORMATS },
        OPTION_END };

static const LodgeOptionSpec help_options[]
    = { { "man", '\0', LODGE_OPTION_FLAG, NULL, N_ ("the source of the manual page"), 0 },
        OPTION_END };
static const LodgeArgSpec help_arguments[]
    = { { "TOPIC", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY, LODGE_COMPLETE_COMMANDS }, ARGUMENT_END };
static const LodgeArgSpec complete_arguments[]
    = { { "WORD", LODGE_ARG_OPTIONAL | LODGE_ARG_MANY | LODGE_ARG_VERBATIM, 0 }, ARGUMENT_END };

const LodgeCmdAlias lodge_cmd_aliases[] = {
  { "define", "create", NULL },      { "destroy", "stop", "--force" },
  { "dominfo", "info", NULL },       { "domrename", "rename", NULL },
  { "event", "monitor", NULL },      { "reboot", "restart", NULL },
  { "reset", "restart", "--force" }, { "shutdown", "stop", NULL },
  { "suspend", "pause", NULL },      { "undefine", "delete", NULL },
};
const gsize lodge_cmd_aliases_size = G_N_ELEMENTS (lodge_cmd_aliases);

const LodgeCmd lodge_cmd_table[] = {
  {
      .name = "launch",
      .also = NAMES ("run"),
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Make an instance from an image and start it"),
      .description
      = N_ ("The image is an alias such as debian/12, or the beginning of a fingerprint. An alias "
            "that "
            "is not in the store is built or fetched first, which takes a while the first time. "
            "Without NAME a name is made up. The name is printed when the instance runs. "
            "What --ssh-key, --password and --run tell is put into it before its first start; a "
            "VM with cloud-init does it at its first boot. The script has no network. From an "
            "install medium (an ISO that was imported) a VM with an empty disk is made: “lodge "
            "console” or a VNC viewer shows the installer."),
      .examples = "lodge launch debian/12 web\n"
                  "lodge launch debian/12 db --vm -c limits.memory=1GiB -c limits.cpu=2\n"
                  "lodge launch debian/12 www --ssh-key ~/.ssh/id_ed25519.pub --run setup.sh\n"
                  "lodge launch --vm --size=40GiB netinst new\n"
                  "name=$(lodge launch debian/12 --wait)",
      .arguments = launch_arguments,
      .options = launch_options,
      .run = lodge_cmd_launch,
  },
  {
      .name = "create",
      .also = NAMES ("init"),
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Make an instance and leave it stopped"),
      .examples = "lodge create debian/12 web",
      .arguments = launch_arguments,
      .options = create_options,
      .run = lodge_cmd_create,
  },
  {
      .name = "list",
      .also = NAMES ("ls", "ps"),
      .group = LODGE_GROUP_INSTANCES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("List instances"),
      .description = N_ (
          "All instances, or those whose names match one of the patterns. The columns are name, "
          "kind, state, address, image, cpu-limit, memory-limit, uuid, origin, addresses, created, "
          "job, memory, cpu-ns and processes. JSON and YAML are a list always, with these words "
          "as keys; sizes are in bytes there, times in seconds since 1970."),
      .examples = "lodge list\n"
                  "lodge list 'web*' --state=running -f json\n"
                  "lodge list -c name,address,memory --no-header",
      .arguments = patterns,
      .options = list_options,
      .run = lodge_cmd_list,
  },
  {
      .name = "info",
      .also = NAMES ("show"),
      .group = LODGE_GROUP_INSTANCES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Show all about an instance, with what it uses now"),
      .examples = "lodge info web\nlodge info web -f json",
      .arguments = one_instance,
      .run = lodge_cmd_info,
  },
  {
      .name = "start",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Start instances"),
      .arguments = stopped,
      .options = start_options,
      .run = lodge_cmd_start,
  },
  {
      .name = "stop",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Stop instances"),
      .description = N_ ("The guest is asked to shut down. When it has not done so in time the "
                         "command fails and the guest is left running; --force stops it at once."),
      .examples = "lodge stop web db\nlodge stop --timeout=2m db\nlodge stop --force web",
      .arguments = running,
      .options = stop_options,
      .run = lodge_cmd_stop,
  },
  {
      .name = "restart",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Stop instances and start them again"),
      .arguments = running,
      .options = stop_options,
      .run = lodge_cmd_restart,
  },
  {
      .name = "pause",
      .also = NAMES ("freeze"),
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Freeze all that runs in instances"),
      .arguments = running,
      .options = no_wait_options,
      .run = lodge_cmd_pause,
  },
  {
      .name = "resume",
      .also = NAMES ("unpause", "unfreeze"),
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Let paused instances go on"),
      .arguments = paused,
      .options = no_wait_options,
      .run = lodge_cmd_resume,
  },
  {
      .name = "rename",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Rename a stopped instance"),
      .arguments = rename_arguments,
      .run = lodge_cmd_rename,
  },
  {
      .name = "eject",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Take the install medium out of VMs"),
      .description
      = N_ ("A VM that was made from an ISO boots from its disk once there is a system "
            "on it; the medium may stay until it is ejected, and cannot be deleted "
            "as long. An installer that runs may have locked the drive: --force."),
      .examples = "lodge eject new",
      .arguments = many_instances,
      .options = eject_options,
      .run = lodge_cmd_eject,
  },
  {
      .name = "delete",
      .also = NAMES ("rm"),
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Delete instances with their disks"),
      .description
      = N_ ("On a terminal you are asked first. Elsewhere stopped instances are deleted "
            "without a question, and running ones with --force only."),
      .arguments = many_instances,
      .options = delete_options,
      .run = lodge_cmd_delete,
  },
  {
      .name = "dumpxml",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Print the libvirt XML of an instance"),
      .arguments = one_instance,
      .run = lodge_cmd_dumpxml,
  },
  {
      .name = "exec",
      .group = LODGE_GROUP_INSIDE,
      .flags = LODGE_CMD_STATUS,
      .summary = N_ ("Run a program in an instance"),
      .description = N_ (
          "The exit status is that of the program, 128 more than the signal that ended it, or 125 "
          "when Lodge failed, 126 when the program cannot be executed, and 127 when there is no "
          "such program. Standard input, output and error are those of this command. When input "
          "and output are both terminals the program gets a terminal of its own. Options after "
          "the name of the program are the program's."),
      .examples = "lodge exec web -- apt-get --version\n"
                  "lodge exec web --user www-data --env LANG=C -- id\n"
                  "tar -c . | lodge exec web -- tar -x -C /srv",
      .arguments = exec_arguments,
      .options = exec_options,
      .run = lodge_cmd_exec,
  },
  {
      .name = "shell",
      .group = LODGE_GROUP_INSIDE,
      .flags = LODGE_CMD_STATUS,
      .summary = N_ ("Log in to an instance"),
      .description = N_ ("A login shell of root, or of --user. It ends with “exit” or Ctrl-D. In a "
                         "virtual machine without a guest agent it is the serial console, where "
                         "you log in; Ctrl-] leaves it."),
      .examples = "lodge shell web\nlodge shell --user www-data web",
      .arguments = one_running,
      .options = shell_options,
      .run = lodge_cmd_shell,
  },
  {
      .name = "console",
      .group = LODGE_GROUP_INSIDE,
      .summary = N_ ("Use the text console of an instance"),
      .description
      = N_ ("Ctrl-] leaves it, or the key that --escape names: one character, or ^ and "
            "a letter. Control characters of the guest reach your terminal here; "
            "--log shows them escaped."),
      .examples = "lodge console db\nlodge console --escape=^A db\nlodge console --log db",
      .arguments = one_instance,
      .options = console_options,
      .run = lodge_cmd_console,
  },
  {
      .name = "file-push",
      .also = NAMES ("push"),
      .group = LODGE_GROUP_FILES,
      .summary = N_ ("Copy files and directories into an instance"),
      .description = N_ (
          "The last argument is the target: web/etc/motd or web:/etc/motd. A target that ends in a "
          "slash, or is a directory, gets the files under their own names. Permissions and times "
          "are kept; the owner is kept for root and is root else. “-” is standard input. The "
          "instance need not run."),
      .examples = "lodge file push site web/var/www/\necho hello | lodge file push - web/etc/motd",
      .arguments = push_arguments,
      .options = push_options,
      .run = lodge_cmd_file_push,
  },
  {
      .name = "file-pull",
      .also = NAMES ("pull"),
      .group = LODGE_GROUP_FILES,
      .summary = N_ ("Copy files and directories out of an instance"),
      .description
      = N_ ("The last argument is the target; “-” is standard output. Permissions and times are "
            "kept, the owner too when root pulls. The guest never decides where something is "
            "written: names with a slash are refused and links in the target are not followed."),
      .examples = "lodge file pull web/etc/hostname -\nlodge file pull web/var/log logs",
      .arguments = pull_arguments,
      .run = lodge_cmd_file_pull,
  },
  {
      .name = "file-list",
      .also = NAMES ("file-ls"),
      .group = LODGE_GROUP_FILES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("List a directory of an instance"),
      .arguments = remote_path,
      .run = lodge_cmd_file_list,
  },
  {
      .name = "file-remove",
      .also = NAMES ("file-rm", "file-delete"),
      .group = LODGE_GROUP_FILES,
      .summary = N_ ("Remove files of an instance"),
      .arguments = remote_paths,
      .options = file_remove_options,
      .run = lodge_cmd_file_remove,
  },
  {
      .name = "image-list",
      .also = NAMES ("images", "image-ls"),
      .group = LODGE_GROUP_IMAGES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("List the images in the store, or of a remote"),
      .description = N_ (
          "Without a remote it is the store that is listed. “images:” is all that the remote "
          "“images” has for this architecture, “images:debian” what has that in its name. Further "
          "words must match too; they may be os=, release=, variant=, serial=, arch= or kind=."),
      .examples = "lodge image list\nlodge image list images:debian/12\n"
                  "lodge image list ubuntu: release=noble --kind=vm\n"
                  "lodge image list images: alpine --arch=all",
      .arguments = image_list_arguments,
      .options = image_list_options,
      .run = lodge_cmd_image_list,
  },
  {
      .name = "image-show",
      .also = NAMES ("image-info"),
      .group = LODGE_GROUP_IMAGES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Show all about an image"),
      .arguments = one_image,
      .options = kind_options,
      .run = lodge_cmd_image_show,
  },
  {
      .name = "image-pull",
      .also = NAMES ("image-build"),
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Build or fetch an image before it is needed"),
      .description
      = N_ ("IMAGE is an alias of the default remote, one of another remote (“images:alpine/3.20”, "
            "“build:debian/12”), perhaps with an architecture at its end "
            "(“images:debian/12/arm64”), or "
            "the https address of a file. What the default remote does not have, or when it cannot "
            "be "
            "reached, is built from packages where that is possible. What came of a download that "
            "was "
            "cancelled is kept for the next try."),
      .examples = "lodge image pull debian/12\nlodge image pull debian/12 --kind=vm --rebuild\n"
                  "lodge image pull images:alpine/3.20\n"
                  "lodge image pull https://example.com/rootfs.tar.xz",
      .arguments = one_image,
      .options = image_pull_options,
      .run = lodge_cmd_image_pull,
  },
  {
      .name = "image-import",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Add a root file system, a disk or an install medium to the store"),
      .description
      = N_ ("FILE is a root file system (a tar archive, compressed or not, or a squashfs), a disk "
            "(qcow2, raw, vmdk, vdi, vhd, vhdx, or a machine in an ova), an image of LXD or Incus "
            "(one file, or metadata and root), an OCI image (a layout, or what docker save "
            "writes), or an ISO to install a VM from. What it is, its contents tell. A directory "
            "is packed first; “-” is standard "
            "input, and an https address is fetched by the service. Everything is read with your "
            "rights. A second word that names a file is the root "
            "of a split image, any other the alias."),
      .examples = "lodge image import rootfs.tar.xz mine/1\n"
                  "lodge image import disk.vmdk --alias=mine/disk\n"
                  "lodge image import incus.tar.xz rootfs.squashfs mine/debian\n"
                  "lodge image import netinst.iso netinst\n"
                  "lodge image import https://example.com/disk.qcow2 mine/disk --sha256=…",
      .arguments = import_arguments,
      .options = image_import_options,
      .run = lodge_cmd_image_import,
  },
  {
      .name = "image-export",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Write an image to a file that others can import"),
      .description
      = N_ ("Without FILE it is called like the image; “-” is standard output. The "
            "formats unified and split are those of LXD and Incus; the second file of "
            "split is FILE.root. tar is for containers, qcow2 and raw are for VMs, iso is "
            "for install media. The same image gives the same bytes each time."),
      .examples = "lodge image export mine/1\n"
                  "lodge image export mine/1 --format=tar - | tar -t\n"
                  "lodge image export mine/disk disk.qcow2 --format=qcow2 --kind=vm",
      .arguments = export_arguments,
      .options = image_export_options,
      .run = lodge_cmd_image_export,
  },
  {
      .name = "image-serve-tree",
      .group = LODGE_GROUP_IMAGES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Write images to a directory that a web server can serve"),
      .description
      = N_ ("DIRECTORY becomes what Lodge, LXD and Incus know as a remote of the protocol "
            "simplestreams: serve it by https with any web server. Without IMAGE all images of "
            "the store that have an alias are in it, in both kinds; those that are not named any "
            "more leave it. Run it again whenever images have changed: what is there already is "
            "not written again, and clients that read meanwhile see the old list or the new one. "
            "The files of images that have left stay until the next run. With --sign the list is "
            "signed as well, for remotes with --keyring."),
      .examples
      = "lodge image serve-tree /srv/images\n"
        "lodge image serve-tree /srv/images mine/web debian/12 --sign=images@example.com\n"
        "lodge remote add mine https://images.example.com",
      .arguments = serve_tree_arguments,
      .options = serve_tree_options,
      .run = lodge_cmd_image_serve_tree,
  },
  {
      .name = "convert",
      .group = LODGE_GROUP_INSTANCES,
      .summary = N_ ("Turn a container into a VM, or a VM into a container"),
      .description
      = N_ ("It keeps its name, its files with owners and attributes, its machine id and its keys; "
            "its address is another one. It has to be stopped. The old one is put aside as "
            "INSTANCE-old until the new one has booted, and is back when that fails. A VM without "
            "a guest agent cannot tell that it has booted: then the old one stays aside."),
      .examples = "lodge convert web --to=vm --size=20GiB\nlodge convert --force db --to=container",
      .arguments = one_instance,
      .options = instance_convert_options,
      .run = lodge_cmd_convert,
  },
  {
      .name = "image-customize",
      .also = NAMES ("image-customise"),
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Make a changed copy of an image"),
      .description
      = N_ ("Files, keys, a password, a host name and what a script does get into a copy of the "
            "image, without anything being started: a container's root is changed in a sandbox, a "
            "VM's disk by libguestfs. The script runs as root and without a network, after the "
            "files were copied. The image itself stays. The fingerprint of the new one is "
            "printed."),
      .examples = "lodge image customize debian/12 mine/web --copy site.conf:/etc/site.conf --run "
                  "setup.sh\n"
                  "lodge image customize shop --alias=shop/2 --size=40GiB --serial --password",
      .arguments = customize_arguments,
      .options = customize_options,
      .run = lodge_cmd_image_customize,
  },
  {
      .name = "image-convert",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Make an image for VMs of one for containers, or the other way round"),
      .description
      = N_ ("The new image has the same aliases; the other stays. `lodge launch` does this by "
            "itself when an alias is there for the other kind only. A VM gets a kernel from its "
            "distribution's packages; where they cannot be had, the one it has in /boot, or this "
            "host's."),
      .examples = "lodge image convert mine/1 --to=vm --size=20GiB\n"
                  "lodge image convert shop --to=container",
      .arguments = one_image,
      .options = convert_options,
      .run = lodge_cmd_image_convert,
  },
  {
      .name = "publish",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Make an image of a stopped instance"),
      .examples = "lodge publish web mine/web\nlodge publish --force db --alias=mine/db",
      .arguments = publish_arguments,
      .options = publish_options,
      .run = lodge_cmd_publish,
  },
  {
      .name = "image-alias",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Set the aliases of an image"),
      .description = N_ ("The aliases are those that are given and no others; none removes all."),
      .examples = "lodge image alias 1f2e3d mine/1 mine/latest",
      .arguments = image_aliases,
      .options = kind_options,
      .run = lodge_cmd_image_alias,
  },
  {
      .name = "image-refresh",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Get newer versions of cached images"),
      .description
      = N_ ("Without IMAGE it is all that are updated by themselves. The name then leads to the "
            "new image; the old one goes when no instance is built on it any more. An image of "
            "build: is built anew, and one of an address downloaded again."),
      .examples = "lodge image refresh\nlodge image refresh images:debian/12",
      .arguments = some_images,
      .options = image_refresh_options,
      .run = lodge_cmd_image_refresh,
  },
  {
      .name = "image-prune",
      .group = LODGE_GROUP_IMAGES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Remove cached images that no instance is built on"),
      .description
      = N_ ("Images of remotes go, whatever their age, and partial downloads; not what an instance "
            "is built on, what was imported or published, what is pinned, and what has an alias "
            "that you gave it."),
      .examples = "lodge image prune --dry-run\nlodge image prune",
      .options = image_prune_options,
      .run = lodge_cmd_image_prune,
  },
  {
      .name = "image-set",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Say whether an image stays and is updated"),
      .description
      = N_ ("pinned=true: it does not expire, and nothing takes its place by itself. "
            "auto-update=false: it is not replaced by a newer version, but expires as others do."),
      .examples = "lodge image set debian/12 pinned=true\n"
                  "lodge image set images:alpine/3.20 auto-update=false",
      .arguments = image_flags,
      .options = kind_options,
      .run = lodge_cmd_image_set,
  },
  {
      .name = "image-delete",
      .also = NAMES ("image-rm"),
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Delete images that no instance is built on"),
      .arguments = many_images,
      .options = image_delete_options,
      .run = lodge_cmd_image_delete,
  },
  {
      .name = "remote-list",
      .also = NAMES ("remotes", "remote-ls"),
      .group = LODGE_GROUP_IMAGES,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("List where images come from"),
      .run = lodge_cmd_remote_list,
  },
  {
      .name = "remote-add",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Add a server of images"),
      .description = N_ (
          "NAME is what stands before the colon: “NAME:debian/12”. The protocol simplestreams is "
          "that "
          "of the image servers of LXD, Incus and Ubuntu; with url the address is a folder, and "
          "the "
          "name of an image the path of a file in it. Everything comes by https from public "
          "addresses, unless --private or --allow-http say otherwise. With --keyring the server's "
          "index (index.sjson) must be signed by one of the keys."),
      .examples = "lodge remote add mine https://images.example.com\n"
                  "lodge remote add lab https://10.0.0.5:8443 --private --ca=lab.pem\n"
                  "lodge remote add files https://example.com/images --protocol=url",
      .arguments = remote_add_arguments,
      .options = remote_add_options,
      .run = lodge_cmd_remote_add,
  },
  {
      .name = "remote-remove",
      .also = NAMES ("remote-rm", "remote-delete"),
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Remove a server of images; its images stay"),
      .arguments = one_remote,
      .run = lodge_cmd_remote_remove,
  },
  {
      .name = "remote-set-default",
      .also = NAMES ("remote-switch"),
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Choose whose the names without a colon are"),
      .examples = "lodge remote set-default build",
      .arguments = one_remote,
      .run = lodge_cmd_remote_set_default,
  },
  {
      .name = "remote-refresh",
      .group = LODGE_GROUP_IMAGES,
      .summary = N_ ("Ask a server now what it has"),
      .arguments = one_remote,
      .options = remote_refresh_options,
      .run = lodge_cmd_remote_refresh,
  },
  {
      .name = "job-list",
      .also = NAMES ("jobs", "job-ls"),
      .group = LODGE_GROUP_JOBS,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("List the work that goes on"),
      .options = job_list_options,
      .run = lodge_cmd_job_list,
  },
  {
      .name = "job-show",
      .also = NAMES ("job-info"),
      .group = LODGE_GROUP_JOBS,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Show all about a job"),
      .arguments = one_job,
      .run = lodge_cmd_job_show,
  },
  {
      .name = "job-wait",
      .group = LODGE_GROUP_JOBS,
      .summary = N_ ("Wait for jobs, and fail if they do"),
      .arguments = many_jobs,
      .run = lodge_cmd_job_wait,
  },
  {
      .name = "job-cancel",
      .group = LODGE_GROUP_JOBS,
      .summary = N_ ("Ask jobs to stop"),
      .arguments = many_jobs,
      .run = lodge_cmd_job_cancel,
  },
  {
      .name = "monitor",
      .group = LODGE_GROUP_JOBS,
      .summary = N_ ("Print what happens, until Ctrl-C"),
      .options = monitor_options,
      .run = lodge_cmd_monitor,
  },
  {
      .name = "help",
      .group = LODGE_GROUP_OTHER,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Explain a command, a group of commands, or the configuration keys"),
      .examples = "lodge help launch\nlodge help images\nlodge help keys",
      .arguments = help_arguments,
      .options = help_options,
      .run = lodge_cmd_help,
  },
  {
      .name = "reconcile",
      .group = LODGE_GROUP_OTHER,
      .summary = N_ ("Read the state of all domains from libvirt again, now"),
      .run = lodge_cmd_reconcile,
  },
  {
      .name = "version",
      .group = LODGE_GROUP_OTHER,
      .flags = LODGE_CMD_OUTPUT,
      .summary = N_ ("Show the versions of lodge, of the service and of its drivers"),
      .run = lodge_cmd_version,
  },
  {
      .name = "complete",
      .group = LODGE_GROUP_OTHER,
      .flags = LODGE_CMD_HIDDEN,
      .summary = N_ ("What the shells' completion asks"),
      .arguments = complete_arguments,
      .run = lodge_cmd_complete,
  },
};
const gsize lodge_cmd_table_size = G_N_ELEMENTS (lodge_cmd_table);
