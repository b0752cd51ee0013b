/* check - see check.h.  Each check names the document it follows. */
#include "check.h"

#include <math.h>

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool
is_alnum(char c)
{
	return is_digit(c) || is_upper(c) || is_lower(c);
}

/* The digits of v alone, at most max; at[i] is the offset behind digit i. */
static size_t
digits_of(struct slice v, char *out, size_t *at, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < v.n && n < max; i++) {
		if (!is_digit(v.p[i]))
			continue;
		out[n] = (char)(v.p[i] - '0');
		if (at != NULL)
			at[n] = i + 1;
		n++;
	}
	return n;
}

static bool
all_same(const char *d, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (d[i] != d[0])
			return false;
	return true;
}

static unsigned
number(const char *d, size_t n)
{
	unsigned v = 0;

	for (size_t i = 0; i < n; i++)
		v = v * 10 + (unsigned)d[i];
	return v;
}

/* ISO/IEC 7812-1, annex B. */
static bool
luhn(const char *d, size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned x = (unsigned)d[n - 1 - i];

		if (i % 2 == 1)
			x = x * 2 > 9 ? x * 2 - 9 : x * 2;
		sum += x;
	}
	return sum % 10 == 0;
}

static bool
date_ok(unsigned y, unsigned m, unsigned d)
{
	static const unsigned days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
		31, 30, 31 };

	if (m < 1 || m > 12 || d < 1)
		return false;
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

	return d <= days[m - 1] + (m == 2 && leap);
}

/* Lengths by issuer: Visa 13/16/19 (13 is dead), Mastercard 51-55 and
 * 2221-2720, American Express 34/37, Diners 300-305/36/38, Discover, JCB. */
static size_t
card_length(const char *d)
{
	unsigned p2 = number(d, 2), p4 = number(d, 4);

	if (d[0] == 4 || (p2 >= 51 && p2 <= 55) || (p4 >= 2221 && p4 <= 2720))
		return 16;
	if (p2 == 34 || p2 == 37)
		return 15;
	if (p2 == 36 || p2 == 38 || (p4 >= 3000 && p4 <= 3059))
		return 14;
	if (p4 == 6011 || p2 == 65 || (p4 >= 6440 && p4 <= 6499) ||
	    (p4 >= 3528 && p4 <= 3589))
		return 16;
	return 0;
}

static size_t
check_card(struct slice v)
{
	char d[32];
	size_t at[32], n = digits_of(v, d, at, sizeof(d));
	size_t want = n < 13 ? 0 : card_length(d);

	if (want == 0 || n < want || all_same(d, want))
		return 0;
	/* What is behind must not be glued to it; one separator all through,
	 * as a table of numbers is no card. */
	if ((n > want && at[want] - at[want - 1] == 1) ||
	    (slice_chr(v, ' ') >= 0 && slice_chr(v, '-') >= 0))
		return 0;
	return luhn(d, want) ? at[want - 1] : 0;
}

static size_t
check_luhn(struct slice v)
{
	char d[64];
	size_t n = digits_of(v, d, NULL, sizeof(d));

	return n > 1 && !all_same(d, n) && luhn(d, n) ? v.n : 0;
}

/* Lengths of the SWIFT IBAN registry. */
static const char iban_lengths[] =
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27"
    "DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28"
    "IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22"
    "MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24"
    "SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

static size_t
iban_length(const char *cc)
{
	for (size_t i = 0; i + 4 < sizeof(iban_lengths); i += 4)
		if (memcmp(iban_lengths + i, cc, 2) == 0)
			return (size_t)(iban_lengths[i + 2] - '0') * 10 +
			    (size_t)(iban_lengths[i + 3] - '0');
	return 0;
}

static unsigned
mod97(unsigned r, char c)
{
	unsigned v = is_digit(c) ? (unsigned)(c - '0') :
	    (unsigned)(c - 'A' + 10);

	return (r * (v > 9 ? 100 : 10) + v) % 97;
}

/* ISO 13616-1: the country's length, mod 97 of the rotated text is 1. */
static size_t
check_iban(struct slice v)
{
	char a[40];
	size_t n = 0, end = 0, want = v.n < 4 ? 0 : 34;

	for (size_t i = 0; i < v.n && n < want; i++) {
		char c = v.p[i];

		if (!is_alnum(c))
			continue;
		a[n++] = is_lower(c) ? (char)(c - 32) : c;
		end = i + 1;
		if (n == 2)
			want = iban_length(a);
	}
	if (want == 0 || n != want || (end < v.n && is_alnum(v.p[end])))
		return 0;
	unsigned r = 0;

	for (size_t i = 0; i < n; i++)
		r = mod97(r, a[(i + 4) % n]);
	return r == 1 ? end : 0;
}

/* Social Security Administration: never assigned areas, groups, serials. */
static size_t
check_ssn(struct slice v)
{
	char d[10];
	size_t n = digits_of(v, d, NULL, sizeof(d));

	if (n != 9)
		return 0;
	unsigned area = number(d, 3), group = number(d + 3, 2);
	unsigned serial = number(d + 5, 4);

	if (area == 0 || area == 666 || area >= 900 || group == 0 ||
	    serial == 0 || all_same(d, 9))
		return 0;
	return v.n;
}

/* NHS number: weights 10 to 2, mod 11. */
static size_t
check_nhs(struct slice v)
{
	char d[11];
	size_t n = digits_of(v, d, NULL, sizeof(d));
	unsigned sum = 0;

	if (n != 10 || all_same(d, 10))
		return 0;
	for (size_t i = 0; i < 9; i++)
		sum += (unsigned)d[i] * (unsigned)(10 - i);
	unsigned c = (11 - sum % 11) % 11;

	return c != 10 && c == (unsigned)d[9] ? v.n : 0;
}

/* PESEL: weights 1 3 7 9, and a date with the century in the month. */
static size_t
check_pesel(struct slice v)
{
	static const unsigned w[] = { 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1 };
	static const unsigned century[] = { 1900, 2000, 2100, 2200, 1800 };
	char d[12];
	size_t n = digits_of(v, d, NULL, sizeof(d));
	unsigned sum = 0;

	if (n != 11)
		return 0;
	for (size_t i = 0; i < 11; i++)
		sum += (unsigned)d[i] * w[i];
	unsigned m = number(d + 2, 2);

	return sum % 10 == 0 && date_ok(century[m / 20] + number(d, 2),
	    m % 20, number(d + 4, 2)) ? v.n : 0;
}

/* German tax id: ISO 7064 mod 11,10; among the first ten digits one value
 * comes two or three times, at most one other repeats. */
static size_t
check_steuerid(struct slice v)
{
	char d[12];
	size_t n = digits_of(v, d, NULL, sizeof(d));
	unsigned seen[10] = { 0 }, p = 10, repeats = 0;

	if (n != 11 || d[0] == 0)
		return 0;
	for (size_t i = 0; i < 10; i++) {
		seen[(unsigned)d[i]]++;
		p = (p + (unsigned)d[i]) % 10;
		p = (p == 0 ? 10 : p) * 2 % 11;
	}
	for (size_t i = 0; i < 10; i++) {
		if (seen[i] > 3)
			return 0;
		repeats += seen[i] > 1;
	}
	return repeats == 1 && (11 - p) % 10 == (unsigned)d[10] ? v.n : 0;
}

/* HMRC NIM39110: prefixes never used. */
static size_t
check_nino(struct slice v)
{
	static const char never[] = "BGGBNKKNTNNTZZ";

	for (size_t i = 0; i + 2 < sizeof(never); i += 2)
		if (v.n > 2 && memcmp(v.p, never + i, 2) == 0)
			return 0;
	return v.n;
}

/* French NIR: key = 97 - number mod 97; Corsica's 2A/2B count as 19/18. */
static size_t
check_nir(struct slice v)
{
	char a[16];
	size_t n = 0;
	uint64_t x = 0;

	for (size_t i = 0; i < v.n && n < 15; i++)
		if (is_alnum(v.p[i]))
			a[n++] = v.p[i];
	if (n != 15)
		return 0;
	for (size_t i = 0; i < 13; i++) {
		char c = a[i];

		if (i == 6 && (c == 'A' || c == 'B'))
			x = x / 10 * 100 + (c == 'A' ? 19 : 18);
		else if (is_digit(c))
			x = x * 10 + (uint64_t)(c - '0');
		else
			return 0;
	}
	return is_digit(a[13]) && is_digit(a[14]) && 97 - x % 97 ==
	    (uint64_t)(a[13] - '0') * 10 + (uint64_t)(a[14] - '0') ? v.n : 0;
}

/* Spanish DNI and NIE: the letter is the number mod 23. */
static size_t
check_dni(struct slice v)
{
	static const char letters[] = "TRWAGMYFPDXBNJZSQVHLCKE";
	char d[9];
	size_t n = 0;
	struct slice s = v;

	if (s.n > 0 && s.p[0] >= 'X' && s.p[0] <= 'Z') {
		d[n++] = (char)(s.p[0] - 'X');
		s = slice_sub(s, 1, s.n);
	}
	n += digits_of(s, d + n, NULL, sizeof(d) - n);
	return n == 8 && v.p[v.n - 1] == letters[number(d, 8) % 23] ? v.n : 0;
}

/* Codice fiscale, DM 23.12.1976: odd places have their own table. */
static size_t
check_codice(struct slice v)
{
	static const unsigned char odd[] = { 1, 0, 5, 7, 9, 13, 15, 17, 19,
		21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
		23 };
	unsigned sum = 0;

	if (v.n != 16)
		return 0;
	for (size_t i = 0; i < 15; i++) {
		unsigned x = is_digit(v.p[i]) ? (unsigned)(v.p[i] - '0') :
		    (unsigned)(v.p[i] - 'A');

		sum += i % 2 == 0 ? odd[x] : x;
	}
	return sum % 26 == (unsigned)(v.p[15] - 'A') ? v.n : 0;
}

/* Swedish personnummer: a date and Luhn over the ten digits. */
static size_t
check_personnummer(struct slice v)
{
	char d[13];
	size_t n = digits_of(v, d, NULL, sizeof(d));
	const char *t = d + (n == 12 ? 2 : 0);

	if (n != 10 && n != 12)
		return 0;
	unsigned day = number(t + 4, 2);

	return date_ok(2000 + number(t, 2), number(t + 2, 2),
	    day > 60 ? day - 60 : day) && luhn(t, 10) ? v.n : 0;
}

/* Brazilian CPF: two check digits mod 11. */
static size_t
check_cpf(struct slice v)
{
	char d[12];

	if (digits_of(v, d, NULL, sizeof(d)) != 11 || all_same(d, 11))
		return 0;
	for (size_t k = 9; k < 11; k++) {
		unsigned sum = 0;

		for (size_t i = 0; i < k; i++)
			sum += (unsigned)d[i] * (unsigned)(k + 1 - i);
		if (sum * 10 % 11 % 10 != (unsigned)d[k])
			return 0;
	}
	return v.n;
}

/* Verhoeff (1969): the dihedral group of order ten. */
static size_t
check_aadhaar(struct slice v)
{
	static const unsigned char perm[8][10] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 },
		{ 1, 5, 7, 6, 2, 8, 3, 0, 9, 4 },
		{ 5, 8, 0, 3, 7, 9, 6, 1, 4, 2 },
		{ 8, 9, 1, 6, 0, 4, 3, 5, 2, 7 },
		{ 9, 4, 5, 3, 1, 2, 6, 8, 7, 0 },
		{ 4, 2, 8, 6, 5, 7, 3, 9, 0, 1 },
		{ 2, 7, 9, 3, 8, 0, 6, 4, 1, 5 },
		{ 7, 0, 4, 6, 9, 1, 3, 2, 5, 8 },
	};
	char d[13];
	unsigned c = 0;

	if (digits_of(v, d, NULL, sizeof(d)) != 12 || d[0] < 2)
		return 0;
	for (size_t i = 0; i < 12; i++) {
		unsigned x = perm[i % 8][(unsigned)d[11 - i]];

		/* The group's table, from its definition: 0-4 turn, 5-9
		 * mirror. */
		if (c < 5)
			c = x < 5 ? (c + x) % 5 : 5 + (c + x) % 5;
		else
			c = x < 5 ? 5 + (c - x) % 5 : (c - x + 5) % 5;
	}
	return c == 0 ? v.n : 0;
}

/* Dutch BSN: weights 9 to 2 and -1, mod 11. */
static size_t
check_bsn(struct slice v)
{
	char d[10];
	int sum = 0;

	if (digits_of(v, d, NULL, sizeof(d)) != 9 || all_same(d, 9))
		return 0;
	for (int i = 0; i < 9; i++)
		sum += d[i] * (i == 8 ? -1 : 9 - i);
	return sum % 11 == 0 ? v.n : 0;
}

/* ITU-T E.164: a country code (not 0), 8 to 15 digits in all; not a row of
 * one digit, and grouped as people write numbers when it is grouped. */
static size_t
check_e164(struct slice v)
{
	char d[20];
	size_t at[20], n = digits_of(v, d, at, sizeof(d));

	if (n < 8 || n > 15 || d[0] == 0 || all_same(d + 1, n - 1))
		return 0;
	return at[n - 1];
}

/* A day of birth: y-m-d, d.m.y or m/d/y, a real date between 1900 and 2035. */
static size_t
check_date(struct slice v)
{
	unsigned f[3] = { 0 }, len[3] = { 0 };
	size_t k = 0;

	for (size_t i = 0; i < v.n && k < 3; i++) {
		if (is_digit(v.p[i])) {
			f[k] = f[k] * 10 + (unsigned)(v.p[i] - '0');
			len[k]++;
		} else if (len[k] != 0) {
			k++;
		}
	}
	unsigned y = len[0] == 4 ? f[0] : f[2];
	unsigned a = len[0] == 4 ? f[1] : f[0];
	unsigned b = len[0] == 4 ? f[2] : f[1];

	if (y < 1900 || y > 2035)
		return 0;
	return date_ok(y, a, b) || date_ok(y, b, a) ? v.n : 0;
}

/* Four numbers to 255, not 0.x, 127.x, nor x.x.x.0 as versions end. */
static size_t
check_ipv4(struct slice v)
{
	unsigned f[4] = { 0 };
	size_t k = 0;

	for (size_t i = 0; i < v.n; i++) {
		if (is_digit(v.p[i]))
			f[k] = f[k] * 10 + (unsigned)(v.p[i] - '0');
		else if (++k > 3)
			return 0;
	}
	for (k = 0; k < 4; k++)
		if (f[k] > 255)
			return 0;
	return f[0] != 0 && f[0] != 127 && f[0] < 224 ? v.n : 0;
}

static bool
has_word(struct slice v, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= v.n; i++)
		if (slice_eq_nocase(slice_sub(v, i, n), slice_make(word, n)))
			return true;
	return false;
}

/* What people write where a secret will stand. */
static bool
is_placeholder(struct slice v)
{
	static const char *const words[] = { "redacted", "placeholder",
		"changeme", "change-me", "change_me", "your_", "your-",
		"<your", "example.com", "insert_", "todo", "xxxx", "****",
		"....", "process.env", "os.environ", "getenv", "secrets.",
		"null", "undefined" };

	if (v.n > 0 && (v.p[0] == '$' || v.p[0] == '<' || v.p[0] == '{' ||
	    v.p[0] == '%' || v.p[0] == '[' || v.p[0] == '('))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (has_word(v, words[i]))
			return true;
	return false;
}

/* Code that names or fetches a value: get_password(1), certs[0], x.y, None). */
static bool
is_code(struct slice v)
{
	size_t name = 0, call = 0, end = v.n;
	bool dot = false, digit = false;

	while (name < v.n && (is_lower(v.p[name]) || is_upper(v.p[name]) ||
	    v.p[name] == '_' || v.p[name] == '.'))
		name++;
	for (; call < v.n && (is_alnum(v.p[call]) || v.p[call] == '_' ||
	    v.p[call] == '.'); call++) {
		dot |= v.p[call] == '.';
		digit |= is_digit(v.p[call]);
	}
	if (call > 2 && call < v.n && (v.p[call] == '(' ||
	    v.p[call] == '[') && (dot || !digit))
		return true;
	while (end > 0 && strchr(")]}:", v.p[end - 1]) != NULL)
		end--;
	return name >= end;
}

/*
 * A value assigned to a word such as "password": taken unless it is a
 * placeholder, code that fetches the secret, or plain prose.  Needs two of
 * lower, upper, digit, other, one of them a digit or other (or three kinds).
 */
static size_t
check_assigned(struct slice v)
{
	bool lower = false, upper = false, digit = false, other = false;
	bool word = true;

	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];

		lower |= is_lower(c);
		upper |= is_upper(c);
		digit |= is_digit(c);
		other |= !is_alnum(c) && c != '_' && c != '-' && c != '.' &&
		    c != '/';
		word &= is_lower(c) || is_upper(c) || c == '_' || c == '-' ||
		    c == '.' || c == '/';
	}
	if (word || is_placeholder(v) || is_code(v))
		return 0;
	return lower + upper + digit + other >= 2 ? v.n : 0;
}

/* A password in a URL or connection string: anything but a placeholder. */
static size_t
check_password(struct slice v)
{
	if (is_placeholder(v) || slice_is_nocase(v, "password") ||
	    slice_is_nocase(v, "pass") || slice_is_nocase(v, "pwd"))
		return 0;
	return v.n;
}

/* Random text of a token: digits and letters mixed. */
static size_t
check_mixed(struct slice v)
{
	bool letter = false, digit = false;

	for (size_t i = 0; i < v.n; i++) {
		letter |= is_lower(v.p[i]) || is_upper(v.p[i]);
		digit |= is_digit(v.p[i]);
	}
	return letter && digit ? v.n : 0;
}

/* Passport and licence numbers: at least four digits. */
static size_t
check_document(struct slice v)
{
	size_t digits = 0;

	for (size_t i = 0; i < v.n; i++)
		digits += is_digit(v.p[i]);
	return digits >= 4 ? v.n : 0;
}

/* Not a file name such as "logo@2x.png". */
static size_t
check_email(struct slice v)
{
	static const char *const ends[] = { ".png", ".jpg", ".jpeg", ".gif",
		".svg", ".webp", ".css", ".js", ".ts", ".map", ".py", ".git" };
	char last[8] = "";
	size_t dot = v.n;

	while (dot > 0 && v.p[dot - 1] != '.')
		dot--;
	if (dot == 0 || v.n - dot + 1 >= sizeof(last))
		return v.n;
	memcpy(last, v.p + dot - 1, v.n - dot + 1);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (strcmp(last, ends[i]) == 0)
			return 0;
	return v.n;
}


/* Names of checks ---------------------------------------------------------- */

#define CHECKS(X)                                                           \
	X(card) X(luhn) X(iban) X(ssn) X(nhs) X(pesel) X(steuerid) X(nino)  \
	X(nir) X(dni) X(codice) X(personnummer) X(cpf) X(aadhaar) X(bsn)    \
	X(e164) X(date) X(ipv4) X(assigned) X(password) X(mixed)            \
	X(document) X(email)

#define NAME(n) #n,
#define FUNC(n) check_##n,

static const char *const names[] = { CHECKS(NAME) };
static check_fn *const funcs[] = { CHECKS(FUNC) };

check_fn *
check_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return funcs[i];
	return NULL;
}

const char *const *
check_names(size_t *n_r)
{
	*n_r = ARRAY_LEN(names);
	return names;
}

/* Growth ------------------------------------------------------------------ */

const char *const check_grow_names[CHECK_GROWS] = { "none", "token", "base64",
	"word", "pem" };

static bool
grows(enum check_grow how, char c)
{
	switch (how) {
	case CHECK_GROW_TOKEN:
		return is_alnum(c) || c == '_' || c == '-';
	case CHECK_GROW_BASE64:
		return is_alnum(c) || (c != '\0' &&
		    strchr("_+/=.-", c) != NULL);
	case CHECK_GROW_WORD:
		return (unsigned char)c > ' ' && strchr("\"'`\\<>,;", c) ==
		    NULL;
	case CHECK_GROW_PEM:
		/* Base64, line ends (also spelled \n), header lines. */
		return is_alnum(c) || (c != '\0' &&
		    strchr("+/=\r\n\t \\:,-", c) != NULL);
	default:
		return false;
	}
}

size_t
check_grow(enum check_grow how, struct slice text, size_t end, size_t max)
{
	size_t stop = text.n - end < max ? text.n : end + max;
	size_t at = end;

	if (how == CHECK_GROW_PEM) {
		struct slice rest = slice_sub(text, end, stop - end);
		ssize_t e = slice_find(rest, SLICE("-----END "));
		ssize_t tail = e < 0 ? -1 : slice_find(slice_sub(rest,
		    (size_t)e + 9, 64), SLICE("-----"));

		if (tail >= 0)
			return end + (size_t)e + 9 + (size_t)tail + 5;
	}
	while (at < stop && grows(how, text.p[at]))
		at++;
	return at;
}

double
check_entropy(struct slice v)
{
	uint32_t count[256] = { 0 };
	double h = 0;

	for (size_t i = 0; i < v.n; i++)
		count[(unsigned char)v.p[i]]++;
	for (size_t i = 0; i < 256; i++)
		if (count[i] != 0) {
			double p = (double)count[i] / (double)v.n;

			h -= p * log2(p);
		}
	return h;
}
