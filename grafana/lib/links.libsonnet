{
  // The other dashboards of this mixin, with the same variables and time.
  dashboards(tags): [{
    type: 'dashboards',
    title: 'Canary dashboards',
    tags: tags,
    asDropdown: false,
    icon: 'external link',
    includeVars: true,
    keepTime: true,
    targetBlank: false,
    tooltip: '',
    url: '',
  }],

  // From a panel or value to a dashboard, with the same variables and time.
  to(title, uid): {
    title: title,
    url: '/d/' + uid + '?${__url_time_range}&${datasource:queryparam}&${service:queryparam}&${rollout:queryparam}',
    targetBlank: false,
  },
}
