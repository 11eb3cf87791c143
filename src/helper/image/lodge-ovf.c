/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of OVF (DSP0243) that a machine needs: References/File has the files, DiskSection the
 * disks on them, VirtualHardwareSection the items with CIM's numbers for their types.  Names are
 * compared without namespaces, as versions of OVF and vendors differ in those alone.
 */
#include "lodge-ovf.h"

#include <glib.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

enum
{
  TYPE_PROCESSOR = 3,
  TYPE_MEMORY = 4,
  TYPE_DISK = 17,
};

typedef struct
{
  LodgeFacts *facts;
  xmlNode *root;
  char disk_id[128]; /* ovf:diskId of the first disk */
  unsigned long controller;
  unsigned long address;
} Machine;

static bool
is_named (const xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && strcmp ((const char *) node->name, name) == 0;
}

/** The text right below an element.  Borrowed; "" when there is none. */
static const char *
text_of (const xmlNode *node)
{
  for (const xmlNode *child = node->children; child != NULL; child = child->next)
    if (child->type == XML_TEXT_NODE && child->content != NULL)
      return (const char *) child->content;
  return "";
}

static const char *
child_text (const xmlNode *node, const char *name)
{
  for (const xmlNode *child = node->children; child != NULL; child = child->next)
    if (is_named (child, name))
      return text_of (child);
  return "";
}

/** Of any namespace.  Borrowed; "" when there is none. */
static const char *
attribute (const xmlNode *node, const char *name)
{
  for (const xmlAttr *item = node->properties; item != NULL; item = item->next)
    if (strcmp ((const char *) item->name, name) == 0 && item->children != NULL
        && item->children->content != NULL)
      return (const char *) item->children->content;
  return "";
}

typedef bool (*NodeFunc) (const xmlNode *node, void *user_data);

/** Calls @func for each element called @name until it returns true. */
static bool
find_each (const xmlNode *node, const char *name, int depth, NodeFunc func, void *user_data)
{
  for (; node != NULL && depth < DEPTH_MAX; node = node->next)
    {
      if (is_named (node, name) && func (node, user_data))
        return true;
      if (find_each (node->children, name, depth + 1, func, user_data))
        return true;
    }
  return false;
}

static uint64_t
read_memory (const char *quantity, const char *units)
{
  uint64_t value = g_ascii_strtoull (quantity, NULL, 10);
  const char *power = strstr (units, "2^");
  int shift = power != NULL                        ? atoi (power + 2)
              : strcasestr (units, "giga") != NULL ? 30
              : strcasestr (units, "kilo") != NULL ? 10
                                                   : 20;
  return shift >= 0 && shift < 50 && value < (1ull << (62 - shift)) ? value << shift : 0;
}

static bool
take_item (const xmlNode *node, void *user_data)
{
  Machine *machine = user_data;
  unsigned long type = strtoul (child_text (node, "ResourceType"), NULL, 10);
  const char *quantity = child_text (node, "VirtualQuantity");
  const char *resource = child_text (node, "HostResource");
  LodgeFacts *facts = machine->facts;

  if (type == TYPE_PROCESSOR && *facts->cpus == '\0')
    g_snprintf (facts->cpus, sizeof facts->cpus, "%" G_GUINT64_FORMAT,
                g_ascii_strtoull (quantity, NULL, 10));
  else if (type == TYPE_MEMORY && *facts->memory == '\0')
    g_snprintf (facts->memory, sizeof facts->memory, "%" G_GUINT64_FORMAT,
                read_memory (quantity, child_text (node, "AllocationUnits")));
  else if (type == TYPE_DISK)
    {
      const char *id = strrchr (resource, '/');
      unsigned long controller = strtoul (child_text (node, "Parent"), NULL, 10);
      unsigned long address = strtoul (child_text (node, "AddressOnParent"), NULL, 10);
      bool earlier = controller < machine->controller
                     || (controller == machine->controller && address < machine->address);
      if (id == NULL || (*machine->disk_id != '\0' && !earlier))
        return false;
      g_strlcpy (machine->disk_id, id + 1, sizeof machine->disk_id);
      machine->controller = controller;
      machine->address = address;
    }
  return false;
}

typedef struct
{
  const char *key;
  const char *id; /* "": the first */
  const char *value_key;
  char value[LODGE_OVF_NAME_SIZE];
} Lookup;

static bool
take_match (const xmlNode *node, void *user_data)
{
  Lookup *lookup = user_data;
  if (*lookup->id != '\0' && strcmp (attribute (node, lookup->key), lookup->id) != 0)
    return false;
  const char *value = attribute (node, lookup->value_key);
  return *value != '\0'
         && g_strlcpy (lookup->value, value, sizeof lookup->value) < sizeof lookup->value;
}

/** VMware and VirtualBox say it in elements of their own. */
static bool
take_firmware (const xmlNode *node, void *user_data)
{
  LodgeFacts *facts = user_data;
  bool is_firmware
      = strcmp (attribute (node, "key"), "firmware") == 0 || is_named (node, "Firmware");
  const char *value = attribute (node, is_named (node, "Firmware") ? "type" : "value");

  if (!is_firmware)
    return false;
  g_strlcpy (facts->firmware, g_ascii_strncasecmp (value, "efi", 3) == 0 ? "uefi" : "bios",
             sizeof facts->firmware);
  return true;
}

static bool
read_machine (Machine *machine, char *out_disk, LodgeFail *fail)
{
  Lookup disk = { .key = "diskId", .value_key = "fileRef" };
  Lookup file = { .key = "id", .value_key = "href" };
  Lookup name = { .key = "", .id = "", .value_key = "id" };
  LodgeFacts *facts = machine->facts;

  find_each (machine->root, "Item", 0, take_item, machine);
  find_each (machine->root, "StorageItem", 0, take_item, machine);
  if (!find_each (machine->root, "Config", 0, take_firmware, facts))
    find_each (machine->root, "Firmware", 0, take_firmware, facts);
  if (find_each (machine->root, "VirtualSystem", 0, take_match, &name))
    lodge_facts_set (facts->description, sizeof facts->description, name.value,
                     strlen (name.value));
  disk.id = machine->disk_id;
  if (find_each (machine->root, "Disk", 0, take_match, &disk))
    {
      file.id = disk.value;
      find_each (machine->root, "File", 0, take_match, &file);
    }
  if (*file.value == '\0')
    return lodge_fail (fail, "ImageInvalid", "The machine in the OVA has no disk");
  if (strchr (file.value, '/') != NULL)
    return lodge_fail (fail, "ImageInvalid", "The disk of the OVA is not within it");
  g_strlcpy (out_disk, file.value, LODGE_OVF_NAME_SIZE);
  return true;
}

static void
ignore_error (void *user_data, xmlErrorPtr error)
{
}

bool
lodge_ovf_parse (const char *text, size_t size, LodgeFacts *facts,
                 char out_disk[LODGE_OVF_NAME_SIZE], LodgeFail *fail)
{
  xmlParserCtxtPtr parser = size <= LODGE_OVF_MAX ? xmlNewParserCtxt () : NULL;

  if (parser == NULL)
    return lodge_fail (fail, "ImageInvalid", "The description in the OVA is too large");
  xmlSetStructuredErrorFunc (NULL, ignore_error);
  /* Entities stay unexpanded (NOENT would be the opposite of its name), and no DTD is loaded. */
  xmlDoc *document = xmlCtxtReadMemory (parser, text, (int) size, NULL, NULL,
                                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING
                                            | XML_PARSE_NOCDATA);
  bool has_dtd = document != NULL && xmlGetIntSubset (document) != NULL;
  xmlFreeParserCtxt (parser);
  if (document == NULL || has_dtd)
    {
      xmlFreeDoc (document);
      return lodge_fail (fail, "ImageInvalid", "The description in the OVA is no sound XML");
    }
  Machine machine = { .facts = facts, .root = xmlDocGetRootElement (document) };
  bool ok = read_machine (&machine, out_disk, fail);
  xmlFreeDoc (document);
  return ok;
}
