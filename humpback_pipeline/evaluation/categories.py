"""What a prompt asks for: one of a few categories, told by the words of the request.

The paper shows where its final model improves on the seed model by reasoning, information seeking,
advice, writing and recipe. A prompt file that names categories is believed; for others these rules
stand in. They follow from what each category means, in the order in which a more particular
request hides a more general one (a recipe is also advice, a program is also a text):

coding: a program, query, command or error, whatever is asked of it.
recipe: how a dish is made, or what can be cooked.
reasoning: the answer follows from what is given: sums, logic, puzzles, sorting into classes,
    finding something in a given text.
writing: a text is to be made or remade: letters, poems, names, translations, summaries.
advice: what somebody should do, or how a thing is done in daily life.
information_seeking: facts and explanations.
other: nothing of these is seen, such as small talk.
"""

from __future__ import annotations

import re

CODING, RECIPE, REASONING, WRITING, ADVICE, INFORMATION_SEEKING, OTHER = CATEGORIES = (
    "coding",
    "recipe",
    "reasoning",
    "writing",
    "advice",
    "information_seeking",
    "other",
)
# The end of a long prompt is mostly material; what is asked stands at the start or the very end.
_READ_CHARS = 1_500
_SPACE = re.compile(r"\s+")

# A request: the beginning of a sentence, after what politeness puts there.
_ASKED = (
    r"(?:^|[.!?:;,\n]\s*)(?:(?:please|kindly|hi|hello|now|then|also|ok|you should|i need to|"
    r"(?:can|could|would|will) you(?: please)?|i(?: want| need|'d like| would like)? you to|help me"
    r"(?: to)?|let's|i (?:want|need|would like) to)[,!]? )*"
)
# Names that mean nothing but computing, and names that do so only in its company.
_COMPUTING = (
    r"javascript|typescript|c\+\+|c#|golang|php|kotlin|haskell|matlab|sql|html|css|bash|powershell|"
    r"regex|numpy|dataframe|linux|ubuntu|debian|docker|ssh|git(?:hub)?|json|xml|yaml|"
    r"google sheets|stack ?trace|segfault|web ?page code|source code|pseudo-?code|command line"
)
_LANGUAGES = r"python|java|rust|ruby|perl|shell|latex|scala|excel|pandas"
_PROGRAM = (
    r"(?:function|program|script|code|class|quer(?:y|ies)|snippet|loop|library|method|algorithm|"
    r"linked list|arrays?|strings?|pointers?|variables?|exception|error|command|"
    r"context manager|formula|macro|bug)s?"
)
_CODING = (
    rf"(?<![\w#+])(?:{_COMPUTING})(?![\w])",
    rf"\b(?:{_LANGUAGES})\b.{{0,60}}\b{_PROGRAM}\b",
    rf"\b{_PROGRAM}\b.{{0,50}}\b(?:in|using|with) (?:{_LANGUAGES}|r|c|go|swift)\b",
    r"\bregular expressions?\b|\b\w+(?:error|exception):|```|\bdef \w+\(|#include\b|\w\(\)|</\w+>",
    r"\b(?:write|make|create|implement|fix|debug|refactor|optimi[sz]e)\b.{0,40}"
    r"\b(?:computer program|program (?:that|to)|function (?:that|to)|algorithm|code (?:that|to))\b",
)
_DISH = (
    r"(?:soup|stew|sauce|cakes?|cookies?|brownies|bread|pasta|pizza|salad|pie|curry|pancakes?|"
    r"dough|omelet(?:te)?|smoothie|cocktail|jam|chutney|risotto|noodles|dumplings|muffins|"
    r"sandwich(?:es)?|dish(?:es)?|meal|dessert|marinade|dressing|ice cream|popcorn|food|"
    r"mayonnaise|pickles|cheese|yogh?urt|gravy|steak)"
)
_COOK = r"(?:cook|bake|roast|grill|fry|simmer|marinate)"
_RECIPE = (
    r"\brecipes?\b|\bcooking\b",
    rf"\b(?:how|what|can i|could i|want to|like to)\b.{{0,60}}\b{_COOK}(?:ing|ed)?\b",
    rf"\b(?:how (?:do|can|should|would) (?:i|you|we)|how to|show me)\b.{{0,20}}"
    rf"\b(?:make|prepare|store)\b.{{0,60}}\b{_DISH}\b",
    rf"\b(?:i am|i'm|i want to|i'd like to) (?:going to )?(?:mak(?:e|ing)|prepar(?:e|ing))\b"
    rf".{{0,30}}\b{_DISH}\b",
    r"\bingredients\b.{0,60}\b(?:for|make|need)\b",
)
_SORTING = (
    r"^(?:please )?(?:classify|categori[sz]e|extract|label|detect|rate|decide|determine)\b",
)
_REASONING = (
    rf"{_ASKED}(?:calculate|compute|solve|simplify|factor|differentiate|integrate|classify|"
    r"categori[sz]e|extract|identify|detect|label|count|predict|determine|decide|assess|judge|rate|"
    r"evaluate|infer|prove|sort|match|assign|fact[- ]check|verify|parse)\b",
    r"\b(?:has|is|are|have)\b[^.?]*\.[^?]*\b(?:who is|which one)\b",
    r"\b(?:square root|derivative|puzzle|riddle|syllogism|next number|what comes next|"
    r"how many ways|odd one out|does(?: not|n't) belong|does it follow|step[- ]by[- ]step|"
    r"your reasoning|positive or negative|positive,? negative|true or false|yes or no|"
    r"in what order)\b",
    r"\bconvert\b.{0,30}\d|\d\s*[-+*/×÷^=]\s*\d|\b\d*[a-z]\s*[-+=]\s*\d",
    r"[\d$€£%].{0,400}\b(?:how (?:many|much|long|far|old|fast)|what (?:was|is|are|were|do) the|"
    r"what (?:does|do)|who is the \w+est|which|when do|who has|"
    r"probability)\b.{0,80}\?",
    r"\b(?:extract|identify|find|classify|categori[sz]e|predict|choose|pick|select|sort)\b.{0,60}"
    r"\b(?:given|following|below|from the|based on|category|categories|text|sentence|passage|"
    r"paragraph|words)\b",
    r"\b(?:determine|decide|say|check|judge|predict)\b.{0,20}\b(?:if|whether)\b",
    r"\b(?:answer|question)s?\b.{0,40}\b(?:based on|about|from|according to|using) (?:the|this|a) "
    r"(?:following |given )?(?:text|paper|passage|article|paragraph|story|context|document)\b",
    r"\b(?:give|provide|assign|choose|pick)\b.{0,40}\b(?:category|rating|score|label)\b",
    r"\b(?:what is wrong with|find the flaw in) this (?:reasoning|argument|proof)\b",
    r"\bwho is the \w+est\b|\bwhich of (?:the following|these)\b.{0,40}\b(?:is|are|does|do)\b",
)
_COMPOSE = (
    r"(?:write|compose|draft|create|generate|invent|make(?: up)?|come up with|produce|prepare|"
    r"brainstorm|turn|structure|define|take|continue|finish|complete|give(?: me)?|"
    r"tell(?: me)?|suggest|need|craft|provide|design|develop|imagine|think of|have|do)"
)
_TEXT = (
    r"(?:letters?|e-?mails?|messages?|essays?|poems?|haikus?|sonnets?|limericks?|songs?|lyrics|"
    r"rap|story|stories|tales?|novels?|memoirs?|chapters?|scenes?|dialogues?|plots?|jokes?|puns?|"
    r"speech(?:es)?|toasts?|articles?|blog(?: ?posts?)?|tweets?|captions?|headlines?|titles?|"
    r"nicknames|slogans?|taglines?|mottos?|ads?|adverts?|advertisements?|descriptions?|bios?|"
    r"reviews?|reports?|proposals?|resumes?|résumés?|cvs?|summar(?:y|ies)|abstracts?|"
    r"paragraphs?|sentences?|introductions?|invitations?|notices?|announcements?|press release|"
    r"newsletter|contracts?|apolog(?:y|ies)|diary|outline|lesson plan|bibliography|template|"
    r"exercises?|worksheet|questionnaire|survey|obituary|eulogy|monologue|parody|memo|screenplay|"
    r"mnemonics?|metaphors?|pitch|catchy|character|names? for|\d+ words)"
)
_REWORKING = (
    rf"^.{{0,40}}{_ASKED}(?:rewrite|rephrase|paraphrase|reword|translate|summari[sz]e|proofread)\b",
)
_WRITING = (
    r"\b(?:rewrite|rephrase|paraphrase|reword|translate|summari[sz]e|proofread|tl;?dr|"
    r"(?:correct|improve|fix|polish|edit|shorten|convert|change) (?:this|my|the|a|these)? ?"
    r"(?:\w+ )?(?:text|sentences?|paragraph|essay|grammar|spelling|e-?mail|letter|story|song))\b",
    rf"{_ASKED}{_COMPOSE}\b.{{0,80}}\b{_TEXT}\b",
    r"\b(?:write|draft|compose) (?:(?:me|us|about|in|up|down|out) )?(?:an?|the|some|my|our|this|"
    r"one|two|three|\d+|about|for|short|brief)\b",
    rf"\b{_TEXT}\b.{{0,50}}\bwritten\b",
    r"^pretend\b",
    r"\bin the style of\b",
)
_PRACTICE = (
    r"(?:activit(?:y|ies)|projects?|ways|things to|skills|ideas|gifts?|exercises|steps|hacks?|"
    r"tools|strateg(?:y|ies)|resources|techniques|places|restaurants|books|movies to|games to)"
)
_ADVICE = (
    r"\b(?:advice|advise|tips?|recommend(?:ed|ations?)?|should i|what would you do|would be best|"
    r"(?:best|good|better|great|easiest) (?:ways?|methods?|ideas?|options?|places?|time|thing)|"
    r"ways? to|ideas? for|help me (?:plan|decide|choose|find|to)|worth it|suitable)\b",
    r"\bhow (?:do|can|could|should|would|to|might) (?:i|we|you|one|a person|someone|somebody)\b",
    r"\bbest\b.{0,40}\b(?:for|to)\b|\bwalk me through\b|\bhelp me\?|\bany way to\b",
    rf"{_ASKED}(?:show me |tell me |explain )?how to\b",
    rf"{_ASKED}(?:suggest|recommend|plan)\b",
    rf"{_ASKED}(?:list|give|make a list of|create a list of|provide|name)\b.{{0,40}}"
    rf"\b{_PRACTICE}\b",
    r"\b(?:itinerary|(?:road|day|weekend|week) trip|workout|routine|diet|budget plan|meal plan)\b",
    r"\bwhat (?:can|could|do|should|would|are my) (?:i|we|one|options|help)\b",
    r"\b(?:i|my|i'm|i'd|i've)\b.{0,400}\b(?:should|can|could|do) i\b",
)
_INFORMATION = (
    r"(?:^|[.!?:\n,]\s*)(?:(?:please|hi|hello|so|and|also|can you|could you|would you|in \w+|"
    r"i (?:want|would like|need) to)[,!]? )*(?:what|who|whom|whose|when|where|why|which|how|is|are|"
    r"was|were|does|do|did|has|have|can|will|explain|describe|define|tell|list|name|give|discuss|"
    r"compare|contrast|outline|teach|provide|state|elaborate|introduce|what's|who's|know|learn|"
    r"find|show|make a list|create a list)\b",
    r"\b(?:explain|tell me about|difference between|history of|meaning of|definition of|list of|"
    r"names of|curious|wonder(?:ing)?|information (?:on|about)|learn about|know about|examples of|"
    r"overview of)\b",
)
_SMALL_TALK = (
    r"^(?:hi|hello|hey|good (?:morning|evening))?[,!. ]*(?:how are you|who are you|are you|"
    r"what's up|what is your)\b",
    r"\blet's play\b|^(?:i want you to )?(?:act as|assume (?:a|the) role|you are (?:an?|my|the) |"
    r"you will (?:be|act)|pretend to be|this ai is)\b",
)


def _rule(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL)


_RULES = (
    (OTHER, _rule(_SMALL_TALK)),
    (REASONING, _rule(_SORTING)),
    (CODING, _rule(_CODING)),
    (RECIPE, _rule(_RECIPE)),
    (WRITING, _rule(_REWORKING)),
    (REASONING, _rule(_REASONING)),
    (WRITING, _rule(_WRITING)),
    (ADVICE, _rule(_ADVICE)),
    (INFORMATION_SEEKING, _rule(_INFORMATION)),
)


def category_of(instruction: str) -> str:
    """Category of a prompt in English, one of `CATEGORIES`; the first rule that fits decides."""
    text = _SPACE.sub(_one_space, instruction.lower().replace("’", "'"))
    if len(text) > _READ_CHARS:
        text = f"{text[: _READ_CHARS // 2]}\n{text[-_READ_CHARS // 2 :]}"
    return next((name for name, rule in _RULES if rule.search(text)), OTHER)


def _one_space(match: re.Match[str]) -> str:
    # A line's end ends a sentence.
    return "\n" if "\n" in match.group(0) else " "
