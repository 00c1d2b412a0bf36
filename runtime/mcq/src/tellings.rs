//! The words for each error.

use crate::code::Code;

/// Paraphrases of each error.
pub const PARAPHRASES: usize = 3;

/// What a code does, in a few words, and three ways to say so.
pub(crate) type Telling = (&'static str, [&'static str; PARAPHRASES]);

/// In the order of the codes' numbers.
pub(crate) const TELLINGS: [Telling; Code::ALL.len()] = [
    (
        "takes the smaller digit from the larger in each column",
        [
            "In every column the smaller digit is subtracted from the larger one, whichever stands on top.",
            "The student never borrows: each column gets the difference between its two digits.",
            "Thinks that the order of the digits in a column does not matter and always takes the small one away.",
        ],
    ),
    (
        "borrows ten without taking one from the next column",
        [
            "Adds ten to a digit that is too small, but leaves the next column as it was.",
            "The student borrows and forgets to pay: the neighbouring digit is not lowered by one.",
            "Every column that is too small gets ten for free; nothing is taken from the left.",
        ],
    ),
    (
        "writes n for zero minus n",
        [
            "Where the top digit is zero, the bottom digit is simply copied into the answer.",
            "The student thinks that zero take away a number is that number.",
            "Treats a zero on top as if nothing had to be subtracted from it, and writes down the lower digit.",
        ],
    ),
    (
        "does not borrow from a zero",
        [
            "When the digit to borrow from is zero, no borrowing is done and the difference of the digits is written.",
            "The student stops at a zero: without anything to borrow, the smaller digit is taken from the larger.",
            "Borrows correctly in general, but across a zero swaps the two digits of the column instead.",
        ],
    ),
    (
        "adds both parts",
        [
            "Adds the numerators and adds the denominators.",
            "The student treats a fraction as two separate numbers: tops are added to tops and bottoms to bottoms.",
            "To add fractions, sums the upper numbers, then sums the lower numbers, without a common denominator.",
        ],
    ),
    (
        "keeps the numerators over the common denominator",
        [
            "Finds the common denominator but adds the old numerators as they are.",
            "The student changes the denominators without scaling the numerators to match.",
            "Puts the sum of the original tops over the least common multiple of the bottoms.",
        ],
    ),
    (
        "adds the numerators only",
        [
            "Adds the numerators and leaves the denominators out of the answer.",
            "The student ignores the bottoms of the fractions altogether and gives a whole number.",
            "The sum of the upper numbers is taken for the whole answer.",
        ],
    ),
    (
        "subtracts both parts",
        [
            "Subtracts the numerators and subtracts the denominators.",
            "The student takes top from top and bottom from bottom, as if a fraction were two separate numbers.",
            "To subtract fractions, works out the difference above the bar and the difference below it.",
        ],
    ),
    (
        "keeps the shared denominator when multiplying",
        [
            "Multiplies the numerators but leaves the common denominator as it is.",
            "The student carries the rule for adding over to multiplying: same bottoms stay the same.",
            "With equal denominators, only the tops are multiplied.",
        ],
    ),
    (
        "multiplies instead of dividing",
        [
            "Multiplies the two fractions as they stand, without inverting the divisor.",
            "The student forgets to flip the second fraction before multiplying.",
            "Divides fractions by multiplying top with top and bottom with bottom.",
        ],
    ),
    (
        "inverts the first fraction",
        [
            "Flips the first fraction instead of the second and then multiplies.",
            "The student turns the dividend upside down and leaves the divisor alone.",
            "Remembers that one fraction has to be inverted, but takes the wrong one.",
        ],
    ),
    (
        "inverts both fractions",
        [
            "Flips both fractions and then multiplies.",
            "The student turns the divisor upside down, and the dividend too.",
            "Multiplies the reciprocal of the first fraction by the reciprocal of the second.",
        ],
    ),
    (
        "multiplies both parts by the whole number",
        [
            "Multiplies the numerator and the denominator by the whole number.",
            "The student scales top and bottom alike, so the value of the fraction does not change.",
            "To multiply a fraction by a number, applies the number above the bar and below it.",
        ],
    ),
    (
        "simplifies the numerator only",
        [
            "Divides the numerator by the common factor and leaves the denominator.",
            "The student reduces the top of the fraction but not the bottom.",
            "Cancels the shared factor above the bar and forgets to cancel it below.",
        ],
    ),
    (
        "takes the longer decimal for the larger",
        [
            "Thinks that the decimal with more digits is the larger number.",
            "The student compares decimals by how long they are, as with whole numbers.",
            "The more digits are written after the point, the bigger the number is taken to be.",
        ],
    ),
    (
        "writes the sum of the tenths after the point",
        [
            "Adds the tenths and writes both digits of the sum after the point, without carrying.",
            "The student treats the digits after the point as whole numbers of their own.",
            "When the tenths add up to ten or more, nothing is carried over the point.",
        ],
    ),
    (
        "brings the decimal places down",
        [
            "Subtracts the whole numbers and copies the decimal part into the answer.",
            "The student does not write zeros after the whole number, so the places below nothing are just brought down.",
            "Digits that have nothing above them are not subtracted but written as they are.",
        ],
    ),
    (
        "counts the decimal point from the left",
        [
            "Places the point in the product as many digits from the left as it stands in the factor.",
            "The student multiplies correctly but counts the position of the point from the wrong end.",
            "Keeps the number of digits before the point instead of the number of digits after it.",
        ],
    ),
    (
        "gives the sum the wrong sign",
        [
            "Finds the right size of the sum but the opposite sign.",
            "The student subtracts the numbers the other way round, so that the sign is reversed.",
            "Adding numbers of unlike sign, gives the answer the sign that it should not have.",
        ],
    ),
    (
        "makes opposite signs positive",
        [
            "Multiplies or divides numbers of opposite signs and gives a positive answer.",
            "The student drops the minus sign: one negative number is treated as if there were two.",
            "Thinks that the product or quotient of a positive and a negative number is positive.",
        ],
    ),
    (
        "calculates from left to right",
        [
            "Carries out the operations in the order in which they are written.",
            "The student does not let multiplication go before addition: each step is done as it comes.",
            "Reads the expression like a sentence and works it out strictly from left to right.",
        ],
    ),
    (
        "subtracts before multiplying",
        [
            "Does the subtraction first, then the multiplication, and adds at the end.",
            "The student takes the last number from the factor before multiplying.",
            "Treats the subtraction on the right as if it stood in brackets.",
        ],
    ),
    (
        "adds and subtracts before multiplying",
        [
            "Does the addition and the subtraction first and multiplies their results.",
            "The student multiplies last: everything on either side of the sign is worked out before.",
            "Reads the expression as the product of a sum and a difference.",
        ],
    ),
    (
        "adds the constant to the other side",
        [
            "Adds the constant to the right side instead of subtracting it.",
            "The student moves the number across the equals sign without changing its sign.",
            "To remove an added constant, adds it once more to the other side.",
        ],
    ),
    (
        "subtracts the constant from the other side",
        [
            "Subtracts the constant from the right side although it has to be added.",
            "The student sees a number that is taken away and takes it away from the other side too.",
            "To remove a subtracted constant, subtracts it once more.",
        ],
    ),
    (
        "loses the minus sign of the coefficient",
        [
            "Divides by the coefficient as if it were positive.",
            "The student forgets the minus in front of the variable in the last step.",
            "Isolates the variable correctly but leaves out the negative sign of its factor.",
        ],
    ),
    (
        "subtracts in the wrong order",
        [
            "Subtracts the right side from the constant instead of the constant from the right side.",
            "The student swaps the two numbers of the subtraction before dividing.",
            "Moves the constant correctly but takes the difference the wrong way round.",
        ],
    ),
    (
        "multiplies by the coefficient",
        [
            "Multiplies by the coefficient instead of dividing by it.",
            "The student does to the other side the same that is done to the variable: multiplies.",
            "To undo a multiplication, multiplies again.",
        ],
    ),
    (
        "multiplies by the coefficient in the last step",
        [
            "Removes the constant correctly and then multiplies by the coefficient.",
            "The student gets the first step right, but in the second multiplies where a division is needed.",
            "After the constant has gone, uses the factor of the variable to multiply the other side.",
        ],
    ),
    (
        "divides by the divisor",
        [
            "Divides by the number below the variable instead of multiplying by it.",
            "The student does to the other side the same that is done to the variable: divides.",
            "To undo a division, divides again.",
        ],
    ),
    (
        "subtracts the coefficient",
        [
            "Subtracts the coefficient from the other side instead of dividing by it.",
            "The student takes the number in front of the variable for a summand.",
            "To free the variable from its factor, takes the factor away.",
        ],
    ),
    (
        "subtracts the coefficient in the last step",
        [
            "Removes the constant correctly and then subtracts the coefficient as well.",
            "The student gets the first step right, but in the second subtracts where a division is needed.",
            "After the constant has gone, takes the factor of the variable away from the other side.",
        ],
    ),
    (
        "takes the percentage of the part",
        [
            "Calculates the percentage of the given number, as if that were the whole.",
            "The student mistakes the part for the whole and multiplies it by the percentage.",
            "Looks for the percent of the number that is given instead of the number that it is a percent of.",
        ],
    ),
    (
        "divides by the percent number without the hundred",
        [
            "Divides the part by the number before the percent sign and forgets the hundred.",
            "The student finds one percent and stops there.",
            "Leaves out the last step: what one percent is, is given as the whole.",
        ],
    ),
    (
        "adds the percentage to the part",
        [
            "Calculates the percentage of the part and adds it to the part.",
            "The student increases the given number by the percentage.",
            "Thinks that the whole is the part raised by that many percent of itself.",
        ],
    ),
    (
        "takes the whole for the part",
        [
            "Treats the given whole as the part and looks for what it is a percentage of.",
            "The student divides by the percentage where multiplying by it is asked.",
            "Swaps the whole and the part in the proportion.",
        ],
    ),
    (
        "leaves out the middle term of the square",
        [
            "Squares the two terms and leaves out the product between them.",
            "The student squares the variable and the number separately and takes the difference.",
            "Thinks that the square of a difference is the difference of the squares.",
        ],
    ),
    (
        "writes the terms in the order of the words",
        [
            "Translates the words one after another, so the subtraction comes out reversed.",
            "The student writes the number first because it is named first.",
            "Takes the variable away from the number instead of the number from the variable.",
        ],
    ),
    (
        "takes a constant difference for a constant ratio",
        [
            "Sets up a proportion although the difference between the two stays the same.",
            "The student multiplies by the ratio of the first pair instead of adding their difference.",
            "Thinks that what was so many times as far ahead stays so many times as far ahead.",
        ],
    ),
];
