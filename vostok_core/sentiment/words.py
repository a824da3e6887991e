"""The words of the lexicon scorer, written for headlines on markets and crypto assets.

Ours, from general knowledge; no published word list was copied. Weights run from -3 to 3. How the
kinds of words work together is in `lexicon`; changing anything here changes the scorer's version.
"""

from __future__ import annotations

# Verbs of direction: (strength, what the move says when no quantity is named).
# `up` and `down` act on the quantity beside them: losses that narrow are good news.
UP = {
    "soar surge skyrocket rocket": (2.5, 2.5),
    "jump rally zoom spurt leap": (2.0, 2.0),
    "rise climb gain advance rebound recover bounce appreciate": (1.5, 1.5),
    "improve strengthen accelerate outpace": (1.5, 1.2),
    "grow expand boost lift double triple quadruple": (1.5, 1.2),
    "increase add raise hike mount swell build widen pile tighten": (1.2, 0.4),
    "top": (1.2, 0.0),
}
DOWN = {
    "plunge plummet crash collapse nosedive tank crater": (2.5, -2.5),
    "slump sink tumble dive": (2.0, -2.0),
    "fall drop slide slip decline skid retreat dip lose shed shrink": (1.5, -1.5),
    "weaken slow contract dwindle erode deteriorate worsen soften depreciate": (1.5, -1.3),
    "dent hurt squeeze drag": (1.2, -1.0),
    "ease narrow cut reduce trim lower slash lessen cool taper fade": (1.2, -0.5),
}
# Direction words that are no verbs, or whose forms are irregular beyond a rule.
UP_FORMS = {
    "up": (1.2, 0.4),
    "ups": (1.2, 0.4),
    "rose": (1.5, 1.5),
    "risen": (1.5, 1.5),
    "grew": (1.5, 1.2),
    "grown": (1.5, 1.2),
    "higher": (1.2, 1.2),
    "upward": (1.2, 1.2),
    "upside": (1.2, 1.2),
    "growth": (1.0, 0.9),
    "more": (0.4, 0.0),
    "rising": (1.2, 1.0),
    "soaring": (2.0, 1.5),
}
DOWN_FORMS = {
    "down": (1.2, -0.5),
    "fell": (1.5, -1.5),
    "fallen": (1.5, -1.5),
    "sank": (2.0, -2.0),
    "sunk": (2.0, -2.0),
    "shrank": (1.5, -1.5),
    "lost": (1.5, -1.5),
    "lower": (1.2, -1.0),
    "downward": (1.2, -1.2),
    "downside": (1.0, -1.2),
    "slowdown": (1.5, -1.5),
    "selloff": (1.5, -2.0),
    "correction": (1.0, -1.0),
    "less": (0.4, 0.0),
    "fewer": (0.8, 0.0),
    "halved": (1.5, -1.5),
    "halves": (1.5, -1.5),
}
# Quantities of which more is good. The weight is what naming one says by itself.
GOOD_NOUNS = {
    "profit profitability earning margin income revenue sale turnover": 0.0,
    "net pat ebitda nii topline bottomline": 0.0,
    "price share stock rating target forecast outlook guidance estimate": 0.0,
    "demand volume output production export order consumption": 0.0,
    "adoption inflow liquidity hashrate tvl wallet": 0.0,
    "dividend payout bonus": 0.3,
    "confidence sentiment momentum appetite optimism": 0.2,
    "job hiring employment capex investment": 0.0,
    "asset reserve holding stake position market index": 0.0,
}
# Quantities of which more is bad.
BAD_NOUNS = {
    "loss deficit shortfall writedown impairment": -1.5,
    "debt liability npa provision leverage": -0.4,
    "inflation unemployment": -0.4,
    "cost expense fee tax tariff freight": -0.2,
    "rule regulation restriction curb": 0.0,
    "fear concern worry risk uncertainty anxiety tension pressure jitter": -1.0,
    "liquidation outflow redemption withdrawal": -0.8,
    "volatility turbulence turmoil panic": -0.8,
    "rate yield": 0.0,
    "default delinquency slippage bankruptcy insolvency": -2.0,
    "penalty lawsuit probe sanction ban": -1.5,
    "scam fraud hack theft breach": -2.0,
    "supply": 0.0,
}
# Words with a tone of their own, by weight.
TONE_VERBS = {
    2.5: "outperform thrive",
    2.0: "cheer beat win shine upgrade succeed triumph rebound excel",
    1.5: "approve benefit reward attract secure support bag welcome unveil exceed bolster",
    1.2: "buy accumulate adopt embrace back partner invest endorse enable integrate",
    0.8: "acquire sign award hope help aid launch",
    -0.8: "sell delay wait resign exit quit halt lag pledge question miss postpone divest drain",
    -1.2: "warn fear worry suspend reject struggle deny oppose restrict block freeze dump",
    -1.5: "downgrade sue accuse penalise penalize ban fail suffer crack haunt spook",
    -2.0: "default exploit steal defraud liquidate indict arrest raid bleed batter",
}
TONE_WORDS = {
    2.5: "bullish bull bulls skyrocketing blockbuster",
    2.0: (
        "strong robust positive upbeat optimistic outperformer multibagger buoyant "
        "recovery breakthrough winner winners success successful profitable healthy surplus "
        "best favourite darling darlings attractive lucrative outperforms impressive"
    ),
    1.5: (
        "good better great promising opportunity opportunities bargain approval nod relief "
        "undervalued cheap rally milestone innovation boom optimism confident solid "
        "favourable favorable breakout resilient bounceback boost gainer gainers green "
        "uptrend won wins ath"
    ),
    1.0: (
        "safe stable buy support partnership overweight potential adoption expansion gain "
        "gains upgrade eager hopes hope bet bets likes pick picks buyback reform reforms upmove"
    ),
    -1.0: (
        "sell underweight cautious caution avoid expensive overvalued delay delays doubt doubts "
        "muted dull sluggish tepid subdued flat-to-negative wary challenge challenges halt "
        "complain complaints dispute selling downmove loser losers"
    ),
    -1.5: (
        "weak bad poor worse bearish bear bears negative gloomy gloom disappointing dismal "
        "disappoint disappoints disappointed bleak bubble trouble troubles troubled problem "
        "problems warning warns threat threats crackdown illegal outage fined fines "
        "vulnerable vulnerability scrutiny investigation allegations downtrend red "
        "underperform underperforms underperformer drag stress stressed pain painful"
    ),
    -2.0: (
        "crisis worst recession bankrupt insolvent hacked hackers hacker stolen ponzi criminal "
        "guilty laundering exploited scammer scammers malware ransomware "
        "rout bloodbath carnage meltdown panic contagion rug turmoil turmoils capitulation "
        "downgrade downgrades beaten battered awry chaos"
    ),
    -2.5: "catastrophe catastrophic disaster disastrous",
}
# Fixed expressions, matched before single words; hyphens count as spaces.
PHRASES = {
    2.0: (
        "beats estimates|beat estimates|beats expectations|above estimates|above expectations|"
        "better than expected|strong results|record profit|record quarter|stellar results|"
        "top pick|top picks|strong buy|turns profitable|back in black|in the black|"
        "hits upper circuit|upper circuit|to the moon|swings to profit|turnaround|turn around|"
        "turns around"
    ),
    1.5: (
        "without a hitch|goes live|go live|adds support|gets nod|gets approval|wins order|"
        "bags order|bags orders|wins contract|bags contract|rate cut|rate cuts|cuts rates|"
        "legal tender|etf approval|green light|institutional adoption|strategic reserve|"
        "in favor|in favour|raises stake|ups stake|hikes stake|buys stake|stock split|"
        "bonus issue|share buyback|recoups losses|recoup losses|no loss|no losses|positive bias|"
        "in the green|in green|short covering|good time|go long|soft landing|to outperform|"
        "buys the dip|buy the dip|bull flag|bull run"
    ),
    -1.5: (
        "profit booking|profit taking|in the red|in red|under pressure|selling pressure|"
        "stays away|rate hike|rate hikes|hikes rates|stake sale|sells stake|lower circuit|"
        "moves coins to exchange|death cross|red flag|red flags|pares gains|pare gains|"
        "trims gains|trim gains|erases gains|erasing gains|slashes gains|correct gains|"
        "gives up gains|wipes out|wiped out|weak volumes|go short|exits position|"
        "turns cautious|fails to|failing to|under fire|job cuts|more selling|cyber attack|"
        "hard landing|to underperform|loses ground|sell on rallies|hit by|hit hard|hits hard|"
        "takes a hit|outage hits|down the drain"
    ),
    -2.0: (
        "misses estimates|miss estimates|below estimates|below expectations|worse than expected|"
        "swings to loss|slips into red|profit warning|bank run|margin call|margin calls|"
        "debt trap|pump and dump|pump and dumps|rug pull|rug pulls|files for bankruptcy|"
        "chapter 11|halts withdrawals|pauses withdrawals|suspends withdrawals|wash trading|"
        "crypto winter|bear market|hits lower circuit|cease and desist|class action|"
        "wells notice|dead cat bounce|money laundering|pyramid scheme"
    ),
    0.0: (
        "top gainers and losers|gainers and losers|gain or loss|profit and loss|bull or bear|"
        "bulls and bears|hedge fund|mutual fund|mutual funds|risk management|bull put|"
        "record date|short term|long term|trading hours|buy or sell|buy sell or hold|"
        "stocks to buy|stocks to watch|support at|support level|resistance at|net worth|"
        "tax return|tax returns|expected to report|drop in|fine tune|fear and greed index|"
        "risk free|initial coin offering|initial public offering|good morning|most likely|"
        "stop loss|profit target|up to|set up|line up|ties up|size up|sizes up|gearing up|"
        "end up|take up|takes up|top five|top ten|top 10|top 5|top stocks|top nine|top seven"
    ),
}
# Expressions that move, like UP and DOWN, and expressions that name a quantity.
UP_PHRASES = {
    (2.0, 2.0): (
        "all time high|all time highs|record high|record highs|life high|lifetime high|"
        "fresh high|new high|new highs|52 week high|year high|month high|multi year high|"
        "three month high|highest level"
    ),
    (1.3, 1.3): (
        "opens higher|ends higher|closes higher|edges up|edge up|edges higher|edge higher|"
        "inches up|inch up|inches higher|inch higher|moves up|moves higher|trading up"
    ),
}
DOWN_PHRASES = {
    (2.0, -2.0): (
        "all time low|all time lows|record low|record lows|lifetime low|fresh low|new low|"
        "new lows|52 week low|year low|month low|multi year low|lowest level|lowest levels|"
        "sell off|sells off|sold off"
    ),
    (1.3, -1.3): (
        "opens lower|ends lower|closes lower|edges down|edge down|edges lower|edge lower|"
        "inches down|moves down|trading down|dries up|dry up|drags down|dies down"
    ),
}
GOOD_PHRASES = {0.0: "net profit|exchange outflow|exchange outflows|price target|hash rate"}
BAD_PHRASES = {
    -1.5: "net loss|net losses|job losses|bad loan|bad loans",
    -1.0: "short interest|short seller|short sellers|jobless claims",
    -0.8: "exchange inflow|exchange inflows|exchange reserves",
}
# A move is judged by no quantity on the other side of one of these.
BARRIERS = (
    "as after amid while but despite and before ahead for when on notwithstanding although though "
    ", ; : ?"
)
NEGATORS = (
    "no not never without neither nor cannot can't won't don't doesn't didn't isn't aren't wasn't "
    "weren't hasn't haven't shouldn't wouldn't unlikely hardly denies deny denied"
)
DAMPERS = "despite notwithstanding although though"
HEDGES = "may might could likely possible possibly if whether expected seen"
STRONGER = (
    "sharply sharp massive massively heavily huge hugely record biggest largest steep steeply "
    "significantly strongly very most major massive extremely badly severely nearly"
)
WEAKER = "slightly marginally modestly mildly somewhat little bit small minor marginal mild modest"
