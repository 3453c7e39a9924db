//! Packages that share one version: a `fixed` group is released whole, of a `linked` one only what grows.

use std::collections::BTreeMap;

use crate::changes::Reason;
use crate::explain::{Exit, Failure};
use crate::plan::release::{
    Base, Facts, Growing, Together, check_pattern, grown_from, not_above, selected,
};
use crate::plan::way::Way;
use crate::settings::{BumpRequest, Settings};
use crate::version::{Bump, Version};
use crate::workspace::Workspace;
use crate::workspace::package::Package;

/// How many packages a reason names.
const MOST_NAMED: usize = 3;

/// The groups of a workspace; no package is in two of them.
#[derive(Debug, Default)]
pub(super) struct Groups(Vec<Group>);

#[derive(Debug)]
struct Group {
    fixed: bool,
    /// Its packages that have a version, by their place.
    members: Vec<usize>,
    /// To releases, or to prereleases.
    way: Way,
}

impl Groups {
    /// Finds the packages of the groups that are set.
    ///
    /// # Errors
    /// `plan::group`, exit 2, for a name that is none, a glob that is none, and a package in two groups; `plan::filter`, exit 2, where
    /// a filter takes in a part of a fixed group only.
    pub(super) fn of(facts: &Facts<'_>, settings: &Settings) -> Result<Groups, Failure> {
        let workspace = facts.workspace;
        let packages = &workspace.packages;
        let fixed = settings.fixed.iter().map(|patterns| (true, patterns));
        let linked = settings.linked.iter().map(|patterns| (false, patterns));
        let mut groups = Vec::new();
        let mut taken = vec![false; packages.len()];
        for (fixed, patterns) in fixed.chain(linked) {
            let setting = if fixed { "fixed" } else { "linked" };
            for pattern in patterns {
                check_pattern(
                    workspace,
                    &settings.spelled(setting),
                    "plan::group",
                    pattern,
                )?;
            }
            let members: Vec<usize> = (0..packages.len())
                .filter(|index| packages[*index].version.is_some())
                .filter(|index| selected(&packages[*index], patterns))
                .collect();
            for index in &members {
                if std::mem::replace(&mut taken[*index], true) {
                    let what = format!("{} is in two groups", packages[*index].name);
                    return Err(Failure::new(Exit::Usage, "plan::group", what)
                        .because("it can share its version with one group only")
                        .hint("take it out of all but one of the groups of fixed and linked"));
                }
            }
            let first = members.first().map(|index| &packages[*index]);
            let way_of = |package: &Package| Way::of(package, facts, settings);
            let way = first.map_or(Way::Release, way_of);
            let group = Group {
                fixed,
                members,
                way,
            };
            group.check_filter(workspace, settings)?;
            group.check_prerelease(workspace, way_of)?;
            groups.push(group);
        }
        Ok(Groups(groups))
    }

    /// Gives the packages of each group their version, and adds to a release what belongs to it. Tells whether anything grew.
    ///
    /// # Errors
    /// `plan::bump`, exit 3, where an asked version is not above what a group holds.
    pub(super) fn apply(
        &self,
        facts: &Facts<'_>,
        settings: &Settings,
        growing: &mut BTreeMap<usize, Growing>,
    ) -> Result<bool, Failure> {
        let mut grown = false;
        for group in &self.0 {
            if let Some(together) = group.version(facts, settings, growing)? {
                grown |= group.give(facts, settings, &together, growing);
            }
        }
        Ok(grown)
    }

    /// Adds to the reasons which group gave a package a version that it would not have by itself.
    pub(super) fn tell(
        &self,
        facts: &Facts<'_>,
        settings: &Settings,
        growing: &mut BTreeMap<usize, Growing>,
    ) {
        for group in &self.0 {
            let own: Vec<(usize, Version, Option<Bump>)> = group
                .members
                .iter()
                .filter_map(|index| Some((*index, growing.get(index)?)))
                .filter(|(_, member)| !member.reasons.is_empty())
                .map(|(index, member)| (index, member.alone(settings), member.bump))
                .collect();
            let most = own.iter().map(|(_, _, bump)| *bump).max().flatten();
            let leading: Vec<usize> = own
                .iter()
                .filter(|(_, _, bump)| bump.is_none() || *bump == most)
                .map(|(index, ..)| *index)
                .collect();
            let highest = group
                .members
                .iter()
                .copied()
                .max_by_key(|index| grown_from(facts, settings, *index));
            for index in &group.members {
                let alone = own.iter().find(|(member, ..)| member == index);
                let Some(member) = growing.get_mut(index) else {
                    continue;
                };
                if alone.is_some_and(|(_, alone, _)| *alone == member.to(settings)) {
                    continue;
                }
                let others = leading.iter().copied().filter(|other| other != index);
                let mut with: Vec<usize> = others.take(MOST_NAMED).collect();
                if with.is_empty() {
                    with.extend(highest.filter(|highest| highest != index));
                }
                let name = |index: &usize| facts.workspace.packages[*index].name.to_string();
                member.reasons.push(Reason::Together {
                    fixed: group.fixed,
                    with: with.iter().map(name).collect(),
                });
            }
        }
    }
}

impl Group {
    /// The version that the group gets; `None` where nothing of it grows. The highest bump over the highest version; one that a person
    /// gave counts where it is above everything that the group holds.
    fn version(
        &self,
        facts: &Facts<'_>,
        settings: &Settings,
        growing: &BTreeMap<usize, Growing>,
    ) -> Result<Option<Together>, Failure> {
        let members = || {
            self.members
                .iter()
                .map(|index| (*index, growing.get(index)))
        };
        let is_first = |index: usize| facts.packages[index].base == Base::First;
        if members().all(|(_, member)| member.is_none()) {
            return Ok(None);
        }
        let given = members()
            .filter_map(|(_, member)| member?.fixed.clone())
            .max();
        let all_are_new = self.members.iter().all(|index| is_first(*index));
        let from = members()
            .filter(|(index, _)| !is_first(*index))
            .filter_map(|(index, member)| match member {
                Some(member) => Some(member.from.clone()),
                None => grown_from(facts, settings, index),
            })
            .max();
        let Some(from) = from.filter(|_| !all_are_new) else {
            return Ok(given.map(|to| Together { to, bump: None }));
        };
        if let (BumpRequest::To(asked), Some(given)) = (&settings.bump, &given)
            && asked == given
            && *asked <= from
            && let Some(index) = self.members.first()
        {
            return Err(not_above(
                &facts.workspace.packages[*index].name,
                asked,
                &from,
            ));
        }
        let bump = members().filter_map(|(_, member)| member?.bump).max();
        let bump = bump.unwrap_or(Bump::Patch);
        let ways = members().filter_map(|(_, member)| Some(&member?.way));
        let asked = |way: &&Way| matches!(way, Way::NewPrerelease(_)) || self.way == Way::Release;
        let way = ways.filter(asked).max_by_key(|way| **way != Way::Release);
        let way = way.unwrap_or(&self.way);
        Ok(Some(match given.filter(|given| *given > from) {
            Some(to) => Together { to, bump: None },
            None => Together {
                to: way.next(&from, bump, settings.zero_major),
                bump: Some(bump.of(&from, settings.zero_major)),
            },
        }))
    }

    /// Gives the version to every package that must have it. Tells whether that is news to any.
    fn give(
        &self,
        facts: &Facts<'_>,
        settings: &Settings,
        together: &Together,
        growing: &mut BTreeMap<usize, Growing>,
    ) -> bool {
        let mut grown = false;
        for index in &self.members {
            if self.fixed
                && !growing.contains_key(index)
                && let Some(from) = grown_from(facts, settings, *index)
            {
                growing.insert(*index, Growing::following(from, self.way.clone()));
            }
            if let Some(member) = growing.get_mut(index)
                && member.together.as_ref() != Some(together)
            {
                member.together = Some(together.clone());
                grown = true;
            }
        }
        grown
    }

    /// Refuses a group of which some packages get prereleases and others do not, or others.
    fn check_prerelease(
        &self,
        workspace: &Workspace,
        way_of: impl Fn(&Package) -> Way,
    ) -> Result<(), Failure> {
        let mut members = self.members.iter().map(|index| &workspace.packages[*index]);
        let differs = |package: &&Package| way_of(package) != self.way;
        let Some(package) = members.find(differs) else {
            return Ok(());
        };
        let what = format!(
            "prerelease says of {} what it does not say of its whole group",
            package.name
        );
        Err(Failure::new(Exit::Usage, "plan::prerelease", what)
            .because("the packages of a group share one version")
            .hint("say the same of all packages of the group"))
    }

    /// Refuses a filter that takes in a part of a fixed group: its packages share one version.
    fn check_filter(&self, workspace: &Workspace, settings: &Settings) -> Result<(), Failure> {
        let members = self.members.iter().map(|index| &workspace.packages[*index]);
        let (inside, outside): (Vec<_>, Vec<_>) =
            members.partition(|package| selected(package, &settings.filter));
        let (true, Some(inside), Some(outside)) = (self.fixed, inside.first(), outside.first())
        else {
            return Ok(());
        };
        let what = format!(
            "{} takes in {} and leaves out {}",
            settings.spelled("filter"),
            inside.name,
            outside.name
        );
        Err(Failure::new(Exit::Usage, "plan::filter", what)
            .because("a fixed group is released whole, at one version")
            .hint(format!(
                "name all packages of the group in {}, or none",
                settings.spelled("filter")
            )))
    }
}
