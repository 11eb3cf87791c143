# SPDX-License-Identifier: LGPL-2.1-or-later
"""An ISO that boots, and installs what it says: a sector that prints its name on the serial console,
writes a boot sector to the first disk and resets the machine.  That sector prints its own name."""

import struct

SECTOR = 2048
INSTALLER, SYSTEM = "LODGE-INSTALLER", "LODGE-INSTALLED"

# ds = es = cs, bx = where this code is; for print(), si is at its text.
BEGIN = bytes.fromhex("e80000" "5b" "83eb03" "0e1f" "0e07" "fc")
# lodsb; test al,al; jz end; push ax; mov dx,3fd; wait: in al,dx; test al,20; jz wait; pop ax;
# mov dx,3f8; out dx,al; jmp again
PRINT = bytes.fromhex("ac84c07410" "50bafd03" "eca82074fb" "58baf803ee" "ebeb")


def say(place):
    """Prints the text that ends with a zero @place bytes after the beginning of the code."""
    return bytes.fromhex("8db7") + struct.pack("<H", place) + PRINT


def boot_sector(text, more=b""):
    code = BEGIN + say(256) + more + bytes.fromhex("faf4ebfc")  # cli; hlt; again
    sector = bytearray(512)
    sector[:len(code)] = code
    sector[256:256 + len(text) + 3] = text.encode() + b"\r\n\0"
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def installer():
    # lea bx,[bx+512]; mov ax,0301; mov cx,1; mov dx,80; int 13: writes one sector to the first disk.
    # mov al,fe; out 64,al: the keyboard controller resets the machine.
    write = bytes.fromhex("8d9f0002" "b80103" "b90100" "ba8000" "cd13" "b0fee664")
    return boot_sector(INSTALLER, write) + boot_sector(SYSTEM)


def catalogue(platforms):
    """@platforms: numbers as El Torito has them: 0 is BIOS, 0xef EFI."""
    text = bytearray(SECTOR)

    def entry(place):
        text[place:place + 32] = struct.pack("<BBHBBHI20x", 0x88, 0, 0, 0, 0, 4, 20)

    head = bytearray(struct.pack("<BBH24sHBB", 1, platforms[0], 0, b"", 0, 0x55, 0xaa))
    struct.pack_into("<H", head, 28, -sum(struct.unpack("<16H", head)) & 0xffff)
    text[:32] = head
    entry(32)
    for i, platform in enumerate(platforms[1:]):
        place = 64 + 64 * i
        last = i == len(platforms) - 2
        text[place:place + 32] = struct.pack("<BBH28x", 0x91 if last else 0x90, platform, 1)
        entry(place + 32)
    return bytes(text)


def descriptor(kind, *fields):
    """@fields: pairs of a place and bytes."""
    text = bytearray(SECTOR)
    text[:7] = bytes([kind]) + b"CD001\x01"
    for place, data in fields:
        text[place:place + len(data)] = data
    return bytes(text)


def make(label="TINY", platforms=(0,), hybrid=False):
    """The bytes of it.  Without @platforms it does not boot; a hybrid one has a partition table, so
    that it boots from USB sticks, too."""
    system = bytearray(16 * SECTOR)
    if hybrid:
        system[446:462] = struct.pack("<BBBBBBBBII", 0x80, 0, 1, 0, 0x17, 0, 20, 0, 0, 88)
        system[510:512] = b"\x55\xaa"
    sectors = [bytes(system), descriptor(1, (40, label.encode().ljust(32)),
                                         (80, struct.pack("<I", 22)))]
    if platforms:
        sectors += [descriptor(0, (7, b"EL TORITO SPECIFICATION"), (71, struct.pack("<I", 19))),
                    descriptor(255), catalogue(platforms), installer().ljust(SECTOR, b"\0"),
                    bytes(SECTOR)]
    else:
        sectors += [descriptor(255), bytes(4 * SECTOR)]
    return b"".join(sectors)
