/* 2 from the library with versioned symbols, 1 + 2 + ... + 30 from the others: 467. */
#define EACH(_)                                                                                                \
    _(1) _(2) _(3) _(4) _(5) _(6) _(7) _(8) _(9) _(10) _(11) _(12) _(13) _(14) _(15) _(16) _(17) _(18) _(19)   \
    _(20) _(21) _(22) _(23) _(24) _(25) _(26) _(27) _(28) _(29) _(30)
#define DECLARE(number) int smoke_many##number(void);
#define ADD(number) +smoke_many##number()

int smoke_private(void);
EACH(DECLARE)

static int smoke_total(void)
{
    return smoke_private() EACH(ADD);
}
