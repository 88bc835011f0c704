#include "terminal.h"

#include "names.h"

#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool changed;

bool terminal_has_colors(int file) {
    const char *kind = environment("TERM");
    return isatty(file) && !environment("NO_COLOR") && kind && strcmp(kind, "dumb") != 0;
}

static bool set_mode(bool keys) {
    struct termios mode = before;
    if (keys) {
        mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        mode.c_cc[VSUSP] = _POSIX_VDISABLE; /* a shell would get the terminal in this mode */
        mode.c_cc[VMIN] = 1;
        mode.c_cc[VTIME] = 0;
    }
    return !tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}

bool terminal_begin_keys(void) {
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before)) return false;
    return changed = set_mode(true);
}

void terminal_end_keys(void) {
    if (changed) set_mode(false);
    changed = false;
}

int terminal_key(void) {
    unsigned char key;
    return !interrupted() && read(STDIN_FILENO, &key, 1) == 1 ? key : -1;
}

bool terminal_line(buffer *line) {
    line->size = 0;
    set_mode(false);
    int key;
    while ((key = terminal_key()) >= 0 && key != '\n') buffer_char(line, (char)key);
    set_mode(true);
    return key >= 0;
}

void put_plain(buffer *b, capp_str text) {
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
        if (c == 0xC2 && i + 1 < text.size && (unsigned char)text.data[i + 1] < 0xA0) { /* C1, such as CSI */
            buffer_char(b, ' ');
            i++;
        } else {
            buffer_char(b, control ? ' ' : (char)c);
        }
    }
}
