"""Usual names of columns in users' tables, in several languages: lists without accents and in lower case.

A phrase matches a name that contains its words one after another; words of six letters and more of PROTECTED also match
inside longer ones, as in compounds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

PROTECTED = {  # kind of attribute -> phrases; the kinds in order of preference
    "protected": "protected sensitive_attribute",
    "sex": "sex gender sexe genre geschlecht sexo genero sesso genere geslacht kon kjonn kjønn køn plec sukupuoli "
    "cinsiyet пол 性别 性別 성별",
    "race": "race ethnicity ethnic hispanic rac1p rasse ethnie ethnische etnia etnicidad etnicidade etniciteit raza "
    "raca razza herkunft skin_color skin_tone skin_type hautfarbe 民族",
    "religion": "religion religious religione religiao faith konfession religionszugehorigkeit glaube godsdienst 宗教",
    "disability": "disability disabled disabilities handicap behinderung schwerbehindert discapacidad deficiencia "
    "disabilita handicape",
    "nationality": "nationality citizenship citizen nationalitat nationalite nacionalidad nacionalidade nazionalita "
    "staatsangehorigkeit staatsburgerschaft migrationshintergrund native_country country_of_birth birth_country "
    "country_of_origin geburtsland pobp 国籍",
    "orientation": "sexual_orientation sexuelle_orientierung orientation_sexuelle orientacion_sexual",
    "age": "age agep alter altersgruppe edad eta idade leeftijd wiek yas alder aldersgrupp возраст 年龄 年齢 나이",
}
TARGET = (  # phrases without another meaning
    "target label labels class classes outcome y ground_truth klasse classe clase ziel zielvariable zielgrosse cible "
    "objetivo objectif alvo etichetta etiqueta etiquette ergebnis resultat resultado risultato doel uitkomst wynik "
    "hedef цель 目标 結果 标签"
)
GAIN = (  # outcomes that are good for a person
    "approved approval accepted acceptance admitted admission granted hired hire employed employment survived survival "
    "eligible pass passed graduated promoted invited good_credit bewilligt bewilligung genehmigt angenommen "
    "eingestellt einstellung zugelassen bestanden accorde accepte embauche embauchee admis reussi aprobado aceptado "
    "contratado concedido admitido aprovado aceito approvato accettato assunto goedgekeurd aangenomen"
)
INCOME = (
    "income pincp salary wage wages earnings einkommen gehalt lohn salaire revenu sueldo salario ingreso ingresos "
    "renda reddito stipendio inkomen salaris"
)
HARM = (  # outcomes that are bad for a person
    "default defaulted recid recidivism recidivist recidivate reoffend rearrest arrest arrested crime fraud died dead "
    "death mortality rejected denied refused churn churned dropout bankrupt bankruptcy delinquent delinquency disease "
    "sick stroke cancer diabetes readmitted readmission fired dismissed late unemployed violation "
    "reoffence reoffense reoffended reoffending attrition bad_credit "
    "ausfall ruckfall betrug gestorben abgelehnt kundigung krank defaut recidive fraude refuse deces malade impago "
    "reincidencia rechazado muerte enfermo rejeitado insolvenza rifiutato"
)
OTHER_TARGETS = (
    "loan_status credit_risk creditworthiness kreditwurdigkeit kreditrisiko deposit subscribed decision entscheidung "
    "decision_finale decisione diagnosis diagnose diagnostic verdict"
)
TARGETS = (TARGET, GAIN, INCOME, HARM, OTHER_TARGETS)
GOOD_VALUES = (  # classes that are clearly good for a person, as they are written in cells, words joined
    ">50k >50k. approved approve accepted accept granted hired good passed pass admitted survived eligible graduated "
    "bewilligt genehmigt angenommen eingestellt gut bestanden accorde accepte embauche bon admis aprobado aceptado "
    "contratado bueno aprovado bom approvato accettato buono goed goedgekeurd"
)
NO_GROUP = (  # what is written in place of a group, words joined
    "unknown other others ? n/a na none missing undisclosed unspecified notstated notreported prefernottosay "
    "unbekannt keineangabe sonstige andere inconnu autre desconocido otro outro altro sconosciuto onbekend"
)
PERSON = (  # columns that name or reach a person
    "name first_name last_name surname firstname lastname given_name family_name full_name first last middle username "
    "email mail phone telephone address street ssn vorname nachname telefon adresse strasse nom prenom nombre apellido "
    "nome cognome"
)
DATE = "date day time timestamp datum jour fecha data_nascita dob birthdate date_of_birth geburtsdatum"
YES_VALUES = "yes y ja oui si sim tak evet да 是"
TRUE_VALUES = "true 1"
IDENTIFIER = (
    "id ids uuid guid index row rownum rownames nr no num number key kennung kennziffer identifiant numero nummer"
)
UNIT = (
    "patient person subject participant user customer client student pupil household applicant member employee "
    "proband kunde kunden patienten nutzer schuler haushalt cliente usuario paciente utilisateur etudiant"
)
CODE = (
    "code type typ kind category kategorie categorie categoria cat region district bezirk zip zipcode plz postal "
    "industry branche sector occupation occp beruf job country land state bundesland county department department_id "
    "art gruppe group cluster relp cow mar pobp status marital familienstand"
)
WORD = re.compile(r"[^\W_]+")


def words_of(name: str) -> str:
    """Return a name's words, with one blank between and around them.

    >>> words_of("OrderNr.2 Größe")
    ' order nr 2 grosse '
    """
    parted = re.sub(r"(?<=[a-zà-ÿ0-9])(?=[A-ZÀ-Þ][a-zà-ÿ])|(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])", " ", name)
    letters = unicodedata.normalize("NFKD", parted.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return f" {' '.join(WORD.findall(plain))} "


def fits(name: str, *lists: str, inside: bool = False) -> bool:
    """Return whether a name contains a phrase of the lists; `inside`: long words also inside a longer word."""
    words = words_of(name)
    phrases = [phrase.replace("_", " ") for listed in lists for phrase in listed.split()]
    return any(f" {p} " in words or (inside and len(p) > 5 and p in words) for p in phrases)


def consists_of(name: str, *lists: str) -> bool:
    """Return whether a name is made of phrases of the lists only, as "income" is, and "income_share" is not."""
    words = words_of(name)
    phrases = sorted((phrase.replace("_", " ") for listed in lists for phrase in listed.split()), key=len, reverse=True)
    for phrase in phrases:
        words = words.replace(f" {phrase} ", " ")
    return not words.strip()


def ends_with(name: str, *lists: str) -> bool:
    """Return whether a name ends with a phrase of the lists, as "two_year_recid" does: what a name is about."""
    phrases = (phrase.replace("_", " ") for listed in lists for phrase in listed.split())
    return any(words_of(name).endswith(f" {phrase} ") for phrase in phrases)


def one_of(value: object, listed: str) -> bool:
    """Return whether a cell's value is one of the listed ones, whatever its case, blanks and accents."""
    letters = unicodedata.normalize("NFKD", "".join(str(value).split()).casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)) in listed.split()


def kind_of_attribute(name: str) -> str | None:
    """Return the kind of protected attribute that a column's name suggests; None where it suggests none.

    >>> kind_of_attribute("Altersgruppe"), kind_of_attribute("applicant_sex"), kind_of_attribute("income")
    ('age', 'sex', None)
    """
    return next((kind for kind, phrases in PROTECTED.items() if fits(name, phrases, inside=True)), None)


def listing(names: Iterable[str], most: int = 8) -> str:
    """List names one after another, cut after `most`."""
    names = list(names)
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")
